import { Ban, CalendarClock, GitMerge } from "lucide-react";
import { type ReactNode, use } from "react";
import { cn } from "@/lib/text";
import { absolute, day } from "@/lib/time";
import type { Card } from "@/models/types";
import { Avatar, PriorityMark, Tag } from "@/ui/marks";
import { useBoardContext } from "./context";
import { SinceContext, SinceMark } from "./past";
import { peopleOf } from "./view";

const LABELS_SHOWN = 2;
const PEOPLE_SHOWN = 3;

/** What a card shows: what it is, who has it, how far it is, and what keeps it. */
export function CardFace({
  card,
  title,
  tools,
}: {
  card: Card;
  title?: ReactNode;
  tools?: ReactNode;
}) {
  const { nameOf } = useBoardContext();
  const people = peopleOf(card);
  const isWorking = card.holder !== null;
  return (
    <div
      className={cn(
        "flex flex-col gap-2 rounded-md border bg-raised p-2.5 shadow-card",
        card.blocked_reason !== null ? "border-bad" : "border-line",
      )}
    >
      <h3 className="line-clamp-3 text-ink wrap-anywhere">{title ?? card.title}</h3>
      {isWorking && (
        <div className="flex items-center gap-2">
          <progress
            aria-label="Progress"
            value={card.progress_percent}
            max={100}
            className="mc-progress h-1 flex-1"
          />
          <span className="tabular text-xs text-ink-3">{card.progress_percent}%</span>
        </div>
      )}
      <div className="flex min-h-5 flex-wrap items-center gap-x-1.5 gap-y-1">
        <PriorityMark priority={card.priority} />
        {card.blocked_reason !== null && (
          <Fact tone="text-bad" title={card.blocked_reason} label="Blocked">
            <Ban size={13} aria-hidden />
          </Fact>
        )}
        {card.unmet_dependencies.length > 0 && (
          <Fact
            tone="text-warn"
            title="Waits for other missions"
            label={`${card.unmet_dependencies.length}`}
          >
            <GitMerge size={13} aria-hidden />
          </Fact>
        )}
        {card.labels.slice(0, LABELS_SHOWN).map((label) => (
          <Tag key={label}>{label}</Tag>
        ))}
        {card.labels.length > LABELS_SHOWN && (
          <span className="shrink-0 text-sm text-ink-3">+{card.labels.length - LABELS_SHOWN}</span>
        )}
        {card.due !== null && !card.completed && <Due due={card.due} />}
        <span className="ml-auto flex shrink-0 items-center gap-1.5">
          <span className="flex -space-x-1">
            {people.slice(0, PEOPLE_SHOWN).map((id) => (
              <Avatar key={id} who={nameOf(id)} working={id === card.holder} />
            ))}
          </span>
          {tools}
        </span>
      </div>
      <SinceMark cardId={card.id} />
    </div>
  );
}

function Due({ due }: { due: string }) {
  const { time = Date.now() } = use(SinceContext);
  const isLate = Date.parse(due) < time;
  return (
    <Fact tone={isLate ? "text-bad" : "text-ink-3"} title={`Due ${absolute(due)}`} label={day(due)}>
      <CalendarClock size={13} aria-hidden />
    </Fact>
  );
}

function Fact({
  tone,
  title,
  label,
  children,
}: {
  tone: string;
  title: string;
  label: string;
  children: ReactNode;
}) {
  return (
    <span title={title} className={cn("inline-flex shrink-0 items-center gap-1 text-sm", tone)}>
      {children}
      {label}
    </span>
  );
}
