import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { titleQuery } from "@/api/fleet";
import { figure } from "@/lib/figures";
import { cn } from "@/lib/text";
import type { InHand } from "@/models/fleet";
import { stateOf } from "@/models/fleet";
import type { Agent } from "@/models/types";
import { Age } from "@/ui/Age";
import { Avatar, Tag } from "@/ui/marks";
import { Sparkline } from "@/ui/Sparkline";

const CAPABILITIES_SHOWN = 3;

/** How much of its time an agent worked, by day, and in all. */
export type Busy = { share: number; days: (number | null)[] };

/** The columns of the fleet, from a tablet on. */
export const COLUMNS =
  "md:grid md:grid-cols-[minmax(7rem,1fr)_minmax(8rem,1.8fr)_4.5rem_7.5rem] lg:grid-cols-[minmax(10rem,1fr)_minmax(12rem,1.8fr)_5.5rem_8rem_minmax(8rem,1fr)] 3xl:grid-cols-[20rem_36rem_7rem_9rem_minmax(8rem,1fr)] md:gap-4";

/** One agent of the fleet: what it does, when it was heard of, how busy it is, what it can. */
export function Row({
  agent,
  held,
  now,
  busyMax,
}: {
  agent: Agent;
  held: InHand[];
  /** What is told of now alone; null where a moment of the past is shown. */
  now: { seenAt: string | null; busy: Busy | undefined } | null;
  /** The share that fills a sparkline's height. */
  busyMax: number;
}) {
  const state = stateOf(agent);
  const busy = now?.busy;
  return (
    <article
      data-agent={agent.id}
      className={cn(
        "transition-quick relative flex min-h-12 flex-col gap-1 border-b border-line px-3 py-2 hover:bg-hover md:items-center md:px-4 md:py-1",
        COLUMNS,
      )}
    >
      <div className="flex min-w-0 items-center gap-2.5 self-stretch">
        <Avatar
          who={{ id: agent.id, name: agent.name, kind: "agent" }}
          working={state === "busy"}
        />
        <div className="min-w-0 flex-1">
          <h3 className="truncate">
            <Link
              to="/agents/$agentId"
              params={{ agentId: agent.id }}
              className="font-medium after:absolute after:inset-0"
            >
              {agent.name}
            </Link>
          </h3>
          <p className="truncate text-sm text-ink-3">{agent.role || "No role"}</p>
        </div>
        <div className="flex flex-col items-end gap-1 md:hidden">
          {now !== null && <Heartbeat seenAt={now.seenAt} className="text-sm text-ink-3" />}
          {busy !== undefined && <Utilisation busy={busy} max={busyMax} />}
        </div>
      </div>
      <div className="min-w-0 max-md:pl-7.5">
        <Current held={held} />
      </div>
      {now === null ? (
        <span className="max-md:hidden" />
      ) : (
        <Heartbeat seenAt={now.seenAt} className="text-ink-2 max-md:hidden" />
      )}
      <div className="flex items-center gap-2 max-md:hidden">
        {busy !== undefined && (
          <>
            <Utilisation busy={busy} max={busyMax} />
            <span aria-hidden className="tabular text-sm text-ink-2">
              {figure(busy.share, "share")}
            </span>
          </>
        )}
      </div>
      <ul aria-label="Capabilities" className="flex min-w-0 gap-1 overflow-hidden max-lg:hidden">
        {agent.capabilities.slice(0, CAPABILITIES_SHOWN).map((capability) => (
          <li key={capability}>
            <Tag>{capability}</Tag>
          </li>
        ))}
        {agent.capabilities.length > CAPABILITIES_SHOWN && (
          <li className="text-sm text-ink-3">+{agent.capabilities.length - CAPABILITIES_SHOWN}</li>
        )}
      </ul>
    </article>
  );
}

function Utilisation({ busy, max }: { busy: Busy; max: number }) {
  const label = `Busy ${figure(busy.share, "share")} of the last two weeks`;
  return <Sparkline values={busy.days} max={max} label={label} />;
}

function Heartbeat({ seenAt, className }: { seenAt: string | null; className: string }) {
  if (seenAt === null) return <span className={className}>Never</span>;
  return <Age time={seenAt} className={className} />;
}

/** The mission in an agent's hands, and how far it is. */
function Current({ held }: { held: InHand[] }) {
  const [first, ...others] = held;
  if (first === undefined) return <span className="text-ink-3 max-md:hidden">No mission</span>;
  return (
    <div className="flex flex-col gap-1">
      <p className="flex min-w-0 items-center gap-2">
        <Link
          to="/missions/$missionId"
          params={{ missionId: first.id }}
          className="relative z-10 min-w-0 truncate hover:underline"
        >
          <Title held={first} />
        </Link>
        {others.length > 0 && (
          <span className="shrink-0 text-sm text-ink-3">and {others.length} more</span>
        )}
      </p>
      <div className="flex items-center gap-2">
        <progress
          aria-label={`Progress of ${first.title ?? "the mission"}`}
          value={first.progress_percent}
          max={100}
          className="mc-progress h-1 w-24"
        />
        <span className="tabular text-xs text-ink-3">{first.progress_percent}%</span>
      </div>
    </div>
  );
}

/** A mission's title; asked for where it was claimed while this page looked on. */
function Title({ held }: { held: InHand }) {
  const { data } = useQuery({ ...titleQuery(held.id), enabled: held.title === null });
  return held.title ?? data ?? "A mission";
}
