import { useQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef } from "react";
import { figuresQuery } from "@/api/analytics";
import { heartbeatsQuery, workModel } from "@/api/fleet";
import { useMay } from "@/api/queries";
import { cn } from "@/lib/text";
import { useLive } from "@/live/query";
import { heldBy } from "@/models/fleet";
import type { Agent, FleetState } from "@/models/types";
import { useShortcuts } from "@/shell/shortcuts";
import { VirtualRows } from "@/ui/VirtualRows";
import { type Busy, COLUMNS, Row } from "./Row";
import { STATE_NAMES, StateDot } from "./state";

const HEAD_PX = 36;
const ROW_PX = 49;
const OVERSCAN = 10;
const BUSY_MIN = 0.1;

type Line = { kind: "state"; state: FleetState; count: number } | { kind: "agent"; agent: Agent };

/** The fleet by state; only what is in sight is drawn. When it was heard of, and how busy it is, is told of now alone. */
export function Fleet({ groups, isPast }: { groups: [FleetState, Agent[]][]; isPast: boolean }) {
  const work = useLive(workModel).data?.state;
  const { data: heartbeats } = useQuery(heartbeatsQuery);
  const busy = useBusy();
  const lines = useMemo(
    () =>
      groups.flatMap(([state, agents]): Line[] => [
        { kind: "state", state, count: agents.length },
        ...agents.map((agent): Line => ({ kind: "agent", agent })),
      ]),
    [groups],
  );
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => scroller.current,
    getItemKey: (index) => keyOf(lines[index], index),
    estimateSize: (index) => (lines[index]?.kind === "state" ? HEAD_PX : ROW_PX),
    overscan: OVERSCAN,
  });
  useShortcuts([
    { keys: "j", label: "Next agent", group: "Agents", run: () => step(scroller.current, 1) },
    { keys: "k", label: "Previous agent", group: "Agents", run: () => step(scroller.current, -1) },
  ]);
  return (
    <div ref={scroller} className="min-h-0 flex-1 overflow-y-auto">
      <div
        aria-hidden
        className={cn(
          "sticky top-0 z-20 hidden h-8 items-center border-b border-line bg-canvas px-4 text-sm text-ink-3",
          COLUMNS,
        )}
      >
        <span>Agent</span>
        <span>{isPast ? "Mission then" : "Current mission"}</span>
        <span>{isPast ? "" : "Heartbeat"}</span>
        <span>{isPast || busy === undefined ? "" : "Utilisation, 14 d"}</span>
        <span className="max-lg:hidden">Capabilities</span>
      </div>
      <VirtualRows virtual={virtual}>
        {(index) => {
          const line = lines[index];
          if (line === undefined) return undefined;
          return line.kind === "state" ? (
            <StateHead state={line.state} count={line.count} />
          ) : (
            <Row
              agent={line.agent}
              held={isPast ? (line.agent.holds ?? []) : heldBy(work, line.agent.id)}
              now={
                isPast
                  ? null
                  : {
                      seenAt: heartbeats?.get(line.agent.id) ?? line.agent.seen_at,
                      busy: busy?.agents.get(line.agent.id),
                    }
              }
              busyMax={busy?.max ?? 1}
            />
          );
        }}
      </VirtualRows>
    </div>
  );
}

function StateHead({ state, count }: { state: FleetState; count: number }) {
  return (
    <h2 className="flex h-9 items-center gap-2 border-b border-line bg-surface px-3 font-medium md:px-4">
      <StateDot state={state} />
      {STATE_NAMES[state]}
      <span className="tabular text-sm font-normal text-ink-3">{count}</span>
    </h2>
  );
}

function keyOf(line: Line | undefined, index: number): string | number {
  if (line === undefined) return index;
  return line.kind === "state" ? line.state : line.agent.id;
}

/** Two weeks of utilisation by agent, for who may see it. */
function useBusy(): { agents: Map<string, Busy>; max: number } | undefined {
  const may = useMay("view_analytics");
  const { data } = useQuery({ ...figuresQuery("utilisation", { range: "14d" }), enabled: may });
  return useMemo(() => {
    if (data === undefined) return undefined;
    const agents = data.agents.map(({ agent_id, share, buckets }): [string, Busy] => [
      agent_id,
      { share: share ?? 0, days: buckets.map((bucket) => bucket.share) },
    ]);
    // One scale for all, so that rows compare; the busiest day fills it.
    const max = Math.max(BUSY_MIN, ...agents.flatMap(([, { days }]) => days.map(Number)));
    return { agents: new Map(agents), max };
  }, [data]);
}

/** Moves the focus to the next agent's link, or the one before. */
function step(list: HTMLElement | null, by: 1 | -1): void {
  const links = [...(list?.querySelectorAll<HTMLElement>("[data-agent] h3 a") ?? [])];
  const at = links.indexOf(document.activeElement as HTMLElement);
  const next = at === -1 ? links.at(0) : links[at + by];
  next?.focus();
  next?.closest("article")?.scrollIntoView({ block: "nearest" });
}
