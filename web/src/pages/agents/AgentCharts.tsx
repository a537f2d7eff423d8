import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { figuresQuery } from "@/api/analytics";
import { activityQuery, metricsQuery } from "@/api/fleet";
import { useMay } from "@/api/queries";
import { figure } from "@/lib/figures";
import { byDay } from "@/models/activity";
import { Chart, type ChartColour, type ChartData } from "@/ui/Chart";

const DAY = new Intl.DateTimeFormat("en", { month: "short", day: "numeric", timeZone: "UTC" });

/** What an agent did: in all, and by day. */
export function AgentCharts({ agentId }: { agentId: string }) {
  const activity = useQuery(activityQuery(agentId));
  const { data: metrics } = useQuery(metricsQuery(agentId));
  const charts = useMemo(() => {
    if (activity.data === undefined) return undefined;
    const { days, events, submitted, expired } = byDay(activity.data.items, Date.now());
    const labels = days.map((date) => DAY.format(new Date(date)));
    const chart = (label: string, colour: ChartColour, values: number[]): ChartData => ({
      kind: "bars",
      over: "Day",
      labels,
      exact: days,
      unit: "count",
      series: [{ label, colour, values }],
    });
    return {
      events: chart("Events", "accent", events),
      submitted: chart("Submitted", "stage-done", submitted),
      expired: chart("Leases expired", "bad", expired),
    };
  }, [activity.data]);
  const cut = activity.data?.isWhole === false ? ", the newest 2,000" : "";
  const reviewed = metrics && metrics.approved + metrics.rejected;
  return (
    <>
      <h2 className="-mb-1 px-1 text-sm text-ink-3">Last 30 days</h2>
      <dl className="grid grid-cols-2 gap-px overflow-hidden rounded-lg border border-line bg-line sm:grid-cols-3 2xl:grid-cols-6">
        <Tile name="Completed" value={figure(metrics?.completed, "count")} />
        <Tile name="Submitted" value={figure(metrics?.submitted, "count")} />
        <Tile
          name="Approved"
          value={figure(metrics && reviewed ? metrics.approved / reviewed : null, "share")}
        />
        <Tile name="Leases expired" value={figure(metrics?.expired, "count")} />
        <Tile name="Time per lease" value={figure(metrics?.mean_work_s, "duration")} />
        <Tile name="Utilisation" value={figure(metrics?.share, "share")} />
      </dl>
      <h2 className="-mb-1 px-1 text-sm text-ink-3">By day, in UTC</h2>
      <div className="grid gap-3 lg:grid-cols-2">
        <Chart title="Activity" note={`Events${cut}`} data={charts?.events} />
        <Chart title="Throughput" note="Missions submitted" data={charts?.submitted} />
        <Chart title="Lease expiries" note="Leases that ran out" data={charts?.expired} />
        <Utilisation agentId={agentId} />
      </div>
    </>
  );
}

function Tile({ name, value }: { name: string; value: string }) {
  return (
    <div className="flex flex-col bg-surface px-4 py-2.5">
      <dt className="text-sm text-ink-3">{name}</dt>
      <dd className="tabular text-xl font-semibold">{value}</dd>
    </div>
  );
}

/** How busy it was, for who may see the workspace's figures. */
function Utilisation({ agentId }: { agentId: string }) {
  const may = useMay("view_analytics");
  const { data } = useQuery({ ...figuresQuery("utilisation", { range: "14d" }), enabled: may });
  const chart = useMemo((): ChartData | undefined => {
    if (data === undefined) return undefined;
    const buckets = data.agents.find(({ agent_id }) => agent_id === agentId)?.buckets ?? [];
    return {
      kind: "bars",
      over: "Day",
      labels: buckets.map(({ since }) => DAY.format(new Date(since))),
      exact: buckets.map(({ since }) => since.slice(0, 10)),
      unit: "share",
      series: [
        { label: "Busy", colour: "stage-active", values: buckets.map(({ share }) => share) },
      ],
    };
  }, [data, agentId]);
  if (!may) return null;
  return <Chart title="Utilisation" note="Share of the day with a lease" data={chart} />;
}
