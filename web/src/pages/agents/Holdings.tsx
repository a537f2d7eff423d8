import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type ReactNode, useEffect } from "react";
import { holdingsQuery, workModel } from "@/api/fleet";
import { cn } from "@/lib/text";
import { useLive } from "@/live/query";
import { heldBy } from "@/models/fleet";
import type { Agent } from "@/models/types";
import { age, useNow } from "@/ui/Age";
import { Panel } from "@/ui/Panel";
import { Skeleton } from "@/ui/states";

const SOON_MS = 30_000;
const TITLE = "In its hands";

/** The missions in an agent's hands, how far they are, and until when it has them. */
export function Holdings({ agentId }: { agentId: string }) {
  const { data, refetch } = useQuery(holdingsQuery(agentId));
  const work = useLive(workModel).data?.state;
  const held = heldBy(work, agentId);
  const ids = held.map(({ id }) => id).join();
  // A claim or an end is heard of at once; until when is asked for.
  // biome-ignore lint/correctness/useExhaustiveDependencies: whenever it holds something else
  useEffect(() => void refetch(), [ids]);
  const progress = new Map(held.map(({ id, progress_percent }) => [id, progress_percent]));
  return (
    <Panel title={TITLE}>
      {data === undefined && <Skeleton className="h-12" />}
      {data?.holds.length === 0 && <p className="text-ink-3">No mission at the moment.</p>}
      <ul className="flex flex-col gap-3">
        {data?.holds.map(({ id, title, progress_percent, expires_at }) => (
          <Holding key={id} id={id} title={title} percent={progress.get(id) ?? progress_percent}>
            {expires_at !== null && <LeaseEnd at={expires_at} />}
          </Holding>
        ))}
      </ul>
    </Panel>
  );
}

/** The missions that an agent had in its hands at a moment of the past. */
export function PastHoldings({ agent }: { agent: Agent }) {
  const holds = agent.holds ?? [];
  return (
    <Panel title={TITLE}>
      {holds.length === 0 && <p className="text-ink-3">No mission at this moment.</p>}
      <ul className="flex flex-col gap-3">
        {holds.map(({ id, title, progress_percent }) => (
          <Holding key={id} id={id} title={title} percent={progress_percent} />
        ))}
      </ul>
    </Panel>
  );
}

function Holding({
  id,
  title,
  percent,
  children,
}: {
  id: string;
  title: string;
  percent: number;
  children?: ReactNode;
}) {
  return (
    <li className="flex flex-col gap-1.5">
      <Link
        to="/missions/$missionId"
        params={{ missionId: id }}
        className="truncate hover:underline"
      >
        {title}
      </Link>
      <div className="flex items-center gap-2">
        <progress
          aria-label={`Progress of ${title}`}
          value={percent}
          max={100}
          className="mc-progress h-1 flex-1"
        />
        <span className="tabular text-xs text-ink-3">{percent}%</span>
      </div>
      {children}
    </li>
  );
}

function LeaseEnd({ at }: { at: string }) {
  const now = useNow();
  const isSoon = Date.parse(at) - now < SOON_MS;
  return (
    <p className={cn("tabular text-sm", isSoon ? "text-warn" : "text-ink-3")}>
      Lease {Date.parse(at) > now ? "ends" : "ended"} {age(at, now)}
    </p>
  );
}
