import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { ChevronDown } from "lucide-react";
import { useMemo } from "react";
import { type Asked, figuresQuery, RANGES, type Range } from "@/api/analytics";
import { boardsQuery, meQuery, useDirectory } from "@/api/queries";
import { figure } from "@/lib/figures";
import { Page } from "@/shell/Shell";
import { Button } from "@/ui/Button";
import { Chart } from "@/ui/Chart";
import { Menu, MenuItem } from "@/ui/Menu";
import { Failure, Forbidden, Loading } from "@/ui/states";
import {
  atWorkChart,
  durationChart,
  durationHeadlines,
  flowChart,
  flowHeadlines,
  throughputChart,
  utilisationChart,
} from "./charts";

const RANGE_DEFAULT: Range = "30d";

/** How work flows: what is where, how much is done, how long it takes, and how busy the agents are. */
export default function AnalyticsPage() {
  const { range = RANGE_DEFAULT, board } = useSearch({ from: "/app/analytics" });
  const { data: me } = useQuery(meQuery);
  if (me?.permissions.includes("view_analytics") === false) {
    return (
      <Page title="Analytics">
        <Forbidden>Admins, mission commanders and agent operators see how work flows.</Forbidden>
      </Page>
    );
  }
  return (
    <Page title="Analytics">
      <Filters range={range} board={board} />
      {me === undefined ? <Loading /> : <Charts range={range} board={board} />}
    </Page>
  );
}

function Filters({ range, board }: Asked) {
  const navigate = useNavigate({ from: "/analytics" });
  const { data: boards } = useQuery(boardsQuery);
  const name = boards?.find(({ id }) => id === board)?.name;
  const show = (change: { range?: Range; board?: string | undefined }) =>
    void navigate({
      search: (now) => {
        const { board: shown, ...rest } = { ...now, ...change };
        return shown === undefined ? rest : { ...rest, board: shown };
      },
    });
  return (
    <div className="sticky top-0 z-10 flex flex-wrap items-center gap-2 border-b border-line bg-canvas px-3 py-2 md:px-4">
      <Menu
        trigger={
          <Button aria-label="Choose the range">
            Last {RANGES[range].label.toLowerCase()}
            <ChevronDown size={14} aria-hidden />
          </Button>
        }
      >
        {(Object.keys(RANGES) as Range[]).map((each) => (
          <MenuItem key={each} checked={each === range} onSelect={() => show({ range: each })}>
            {RANGES[each].label}
          </MenuItem>
        ))}
      </Menu>
      <Menu
        trigger={
          <Button aria-label="Choose the board">
            {board === undefined ? "All boards" : (name ?? "One board")}
            <ChevronDown size={14} aria-hidden />
          </Button>
        }
      >
        <MenuItem checked={board === undefined} onSelect={() => show({ board: undefined })}>
          All boards
        </MenuItem>
        {boards?.map(({ id, name }) => (
          <MenuItem key={id} checked={id === board} onSelect={() => show({ board: id })}>
            {name}
          </MenuItem>
        ))}
      </Menu>
      <p className="ml-auto text-sm text-ink-3 max-sm:hidden">
        By the {RANGES[range].bucket}, in UTC
      </p>
    </div>
  );
}

function Charts(asked: Asked) {
  const { bucket } = RANGES[asked.range];
  const flow = useQuery(figuresQuery("flow", asked));
  const throughput = useQuery(figuresQuery("throughput", asked));
  const cycle = useQuery(figuresQuery("cycle-time", asked));
  const response = useQuery(figuresQuery("response-time", asked));
  const utilisation = useQuery(figuresQuery("utilisation", asked));
  const nameOf = useDirectory();
  const charts = useMemo(
    () => ({
      flow: flow.data && flowChart(flow.data, bucket),
      throughput: throughput.data && throughputChart(throughput.data, bucket),
      cycle: cycle.data && durationChart(cycle.data, "cycle", bucket),
      lead: cycle.data && durationChart(cycle.data, "lead", bucket),
      claim: response.data && durationChart(response.data, "claim", bucket),
      review: response.data && durationChart(response.data, "review", bucket),
      atWork: utilisation.data && atWorkChart(utilisation.data, bucket),
      agents: utilisation.data && utilisationChart(utilisation.data, (id) => nameOf(id).name),
    }),
    [flow.data, throughput.data, cycle.data, response.data, utilisation.data, nameOf, bucket],
  );
  const failed = [flow, throughput, cycle, response, utilisation].find(
    ({ error, data }) => error !== null && data === undefined,
  );
  if (failed) return <Failure error={failed.error} retry={failed.refetch} />;
  return (
    <div className="grid gap-3 p-3 md:p-4 lg:grid-cols-2 3xl:grid-cols-3">
      <Chart
        title="Cumulative flow"
        className="3xl:col-span-2"
        note="Missions in each stage at the end of each step. Missions that were deleted are taken out from then on."
        headlines={flow.data ? flowHeadlines(flow.data) : []}
        data={charts.flow}
      />
      <Chart
        title="Throughput"
        note="Missions completed"
        headlines={
          throughput.data
            ? [{ label: "completed", value: figure(throughput.data.completed, "count") }]
            : []
        }
        data={charts.throughput}
      />
      <Chart
        title="Cycle time"
        note="From the beginning of work to done"
        headlines={cycle.data ? durationHeadlines(cycle.data.cycle) : []}
        data={charts.cycle}
      />
      <Chart
        title="Lead time"
        note="From opened to done"
        headlines={cycle.data ? durationHeadlines(cycle.data.lead) : []}
        data={charts.lead}
      />
      <Chart
        title="Time to claim"
        note="In ready, until an agent took it"
        headlines={response.data ? durationHeadlines(response.data.claim) : []}
        data={charts.claim}
      />
      <Chart
        title="Time to review"
        note="From submitted to a decision"
        headlines={response.data ? durationHeadlines(response.data.review) : []}
        data={charts.review}
      />
      <Chart title="Agents at work" note="On average, over each step" data={charts.atWork} />
      <Chart
        title="Agent utilisation"
        note="Share of the range in which an agent held a lease"
        data={charts.agents}
      />
    </div>
  );
}
