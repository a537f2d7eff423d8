import { useQueryClient } from "@tanstack/react-query";
import {
  ArrowRight,
  Ban,
  Check,
  ChevronRight,
  CircleCheck,
  GitMerge,
  Hand,
  type LucideIcon,
  MessageSquare,
  Pencil,
  Plus,
  Send,
  Timer,
  Trash2,
  TrendingUp,
  Undo2,
  UserPlus,
  X,
} from "lucide-react";
import { type ReactNode, useMemo, useState } from "react";
import { problemOf } from "@/api/problem";
import { plainText } from "@/lib/markdown";
import { cn } from "@/lib/text";
import { type At, useLive } from "@/live/query";
import { type Entry, entriesOf, type Happening, type Timeline as State } from "@/models/timeline";
import { Ago } from "@/ui/Ago";
import { toast } from "@/ui/announce";
import { Button } from "@/ui/Button";
import { Failure, Skeleton } from "@/ui/states";
import { useMission } from "./context";
import { fetchHappenings, timelineModel } from "./model";
import { useUntil } from "./moment";
import { sentenceOf } from "./sentences";

const ICONS: Record<string, [LucideIcon, string?]> = {
  "mission.created.v1": [Plus],
  "mission.edited.v1": [Pencil],
  "mission.moved.v1": [ArrowRight],
  "mission.assigned.v1": [UserPlus],
  "mission.claimed.v1": [Hand, "text-stage-active"],
  "mission.progressed.v1": [TrendingUp],
  "mission.submitted.v1": [Send, "text-stage-review"],
  "mission.approved.v1": [Check, "text-good"],
  "mission.completed.v1": [CircleCheck, "text-good"],
  "mission.rejected.v1": [Undo2, "text-warn"],
  "mission.released.v1": [Undo2],
  "mission.lease_expired.v1": [Timer, "text-bad"],
  "mission.failed.v1": [X, "text-bad"],
  "mission.blocked.v1": [Ban, "text-bad"],
  "mission.deleted.v1": [Trash2],
  "comment.added.v1": [MessageSquare],
};

/** Every event of the mission with its actor and time, newest first. */
export function Timeline() {
  const { mission, asOf } = useMission();
  const { data, error, refetch } = useLive(timelineModel(mission.id));
  const until = useUntil();
  const entries = useMemo(
    () => entriesOf((data?.state.happenings ?? []).filter(until)),
    [data, until],
  );
  if (error !== null && data === undefined) return <Failure error={error} retry={refetch} />;
  if (data === undefined) return <Skeleton className="mt-4 h-32" />;
  return (
    <div className="py-4">
      <ol aria-label="History">
        {entries.map((entry, index) => (
          <EntryView
            key={entry.steps.at(-1)?.position}
            entry={entry}
            isLast={index === entries.length - 1}
          />
        ))}
      </ol>
      {data.state.older !== null && <Older cursor={data.state.older} />}
      {asOf !== undefined && entries.length === 0 && (
        <p className="text-ink-3">Nothing had happened yet.</p>
      )}
    </div>
  );
}

function Older({ cursor }: { cursor: string }) {
  const { mission } = useMission();
  const client = useQueryClient();
  const [isLoading, setIsLoading] = useState(false);
  const load = async () => {
    setIsLoading(true);
    try {
      const page = await fetchHappenings(mission.id, cursor);
      client.setQueryData<At<State>>(timelineModel(mission.id).key, (now) => {
        if (now === undefined || now.state.older !== cursor) return now;
        const happenings = [...now.state.happenings, ...page.items];
        return { ...now, state: { happenings, older: page.next_cursor } };
      });
    } catch (error) {
      toast(problemOf(error).message, "bad");
    }
    setIsLoading(false);
  };
  return (
    <Button kind="quiet" disabled={isLoading} onClick={() => void load()}>
      Show older events
    </Button>
  );
}

function EntryView({ entry, isLast }: { entry: Entry; isLast: boolean }) {
  const [isOpen, setIsOpen] = useState(false);
  const { newest, steps } = entry;
  const more = steps.length - 1;
  return (
    <>
      <Line one={newest} isLast={isLast && !isOpen}>
        {more > 0 && (
          <button
            type="button"
            aria-expanded={isOpen}
            onClick={() => setIsOpen(!isOpen)}
            className="inline-flex items-center gap-0.5 rounded-sm text-sm text-ink-3 hover:text-ink"
          >
            <ChevronRight size={12} aria-hidden className={cn(isOpen && "rotate-90")} />
            {more} {more === 1 ? "step" : "steps"} before
          </button>
        )}
      </Line>
      {isOpen &&
        steps
          .slice(1)
          .map((one, index) => (
            <Line key={one.position} one={one} isLast={isLast && index === steps.length - 2} />
          ))}
    </>
  );
}

function Line({
  one,
  isLast,
  children,
}: {
  one: Happening;
  isLast: boolean;
  children?: ReactNode;
}) {
  const view = useMission();
  const [Icon, tone] = ICONS[one.type] ?? (one.type.includes("dependency") ? [GitMerge] : [Pencil]);
  // The program itself notes that a lease expired; whose it was is what matters.
  const isExpiry = one.type === "mission.lease_expired.v1";
  const actor = isExpiry && one.agent_id !== null ? one.agent_id : one.actor_id;
  const isNoted =
    one.type.startsWith("mission.dependency_") && view.nameOf(actor).kind === "unknown";
  const name = isNoted
    ? "Mission Control"
    : isExpiry && one.agent_id === null
      ? "The agent"
      : view.nameOf(actor).name;
  return (
    <li id={`event-${one.position}`} className="relative flex gap-2.5 pb-3.5">
      {!isLast && (
        <span aria-hidden className="absolute top-5.5 -bottom-0.5 left-2.5 w-px bg-line" />
      )}
      <span className="relative inline-flex size-5 shrink-0 items-center justify-center">
        <Icon size={13} aria-hidden className={tone ?? "text-ink-3"} />
      </span>
      <div className="min-w-0 flex-1 wrap-anywhere">
        <p>
          <span className="font-medium">{name}</span>{" "}
          <span className="text-ink-2">{sentenceOf(one, view)}</span>{" "}
          <Ago time={one.recorded_at} className="ml-1 text-sm text-ink-3" /> {children}
        </p>
        {one.details.text !== null && <p className="text-ink-2">{plainText(one.details.text)}</p>}
      </div>
    </li>
  );
}
