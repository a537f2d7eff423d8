import { useVirtualizer } from "@tanstack/react-virtual";
import { ArrowUp } from "lucide-react";
import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { useDirectory } from "@/api/queries";
import { cn } from "@/lib/text";
import { Avatar } from "@/ui/marks";
import { Skeleton } from "@/ui/states";
import type { Envelope } from "./log";
import { type NameOf, subjectWords, summary } from "./subjects";

const ROW_PX = 36;
const OVERSCAN = 12;
/** Rows from the end at which the next page is asked for. */
const NEAR_END = 40;

export const MOMENT = new Intl.DateTimeFormat("en", {
  month: "short",
  day: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const ROW =
  "grid w-full grid-cols-[4rem_minmax(0,1fr)_auto] items-center gap-3 px-3 text-left whitespace-nowrap @lg:grid-cols-[4rem_8rem_minmax(0,2fr)_minmax(0,3fr)] @xl:grid-cols-[4rem_8rem_minmax(8rem,12rem)_minmax(0,1fr)] @xl:px-4 @4xl:grid-cols-[4rem_8rem_minmax(9rem,12rem)_15rem_minmax(0,1fr)]";

/** The log's rows, newest first; those in sight are drawn. What comes while somebody reads further down waits above. */
export function LogTable({
  events,
  nameOf,
  arrived,
  open,
  onOpen,
  onEnd,
  isWhole,
}: {
  events: readonly Envelope[];
  nameOf: NameOf;
  /** How many of them came since the page was opened. */
  arrived: number;
  open: number | undefined;
  onOpen: (position: number) => void;
  onEnd: () => void;
  isWhole: boolean;
}) {
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: events.length,
    getScrollElement: () => scroller.current,
    getItemKey: (index) => events[index]?.position ?? index,
    estimateSize: () => ROW_PX,
    overscan: OVERSCAN,
  });
  const items = virtual.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  useEffect(() => {
    if (last > events.length - NEAR_END) onEnd();
  }, [last, events.length, onEnd]);

  // Rows that come above push what somebody reads out of its place: scroll along, and say that there are new ones.
  const before = useRef(arrived);
  const [unseen, setUnseen] = useState(0);
  useEffect(() => {
    const more = arrived - before.current;
    before.current = arrived;
    const element = scroller.current;
    if (more <= 0 || element === null || element.scrollTop < ROW_PX) return;
    element.scrollTop += more * ROW_PX;
    setUnseen((now) => now + more);
  }, [arrived]);

  const onKeyDown = (event: KeyboardEvent) => {
    const by = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 }[event.key];
    if (by === undefined) return;
    const focused = (event.target as HTMLElement).dataset.row;
    const next = Number(focused ?? 0) + by;
    if (next < 0 || next >= events.length) return;
    event.preventDefault();
    virtual.scrollToIndex(next);
    requestAnimationFrame(() =>
      scroller.current?.querySelector<HTMLElement>(`[data-row="${next}"]`)?.focus(),
    );
  };
  return (
    <div className="@container relative flex min-h-0 flex-1 flex-col">
      <div aria-hidden className={cn(ROW, "h-8 shrink-0 border-b border-line text-sm text-ink-3")}>
        <span>Event</span>
        <span className="@max-lg:hidden">Time</span>
        <span className="@max-lg:hidden">Actor</span>
        <span>Type</span>
        <span className="text-right @lg:hidden">Time</span>
        <span className="@max-4xl:hidden">What it says</span>
      </div>
      {unseen > 0 && (
        <button
          type="button"
          onClick={() => scroller.current?.scrollTo({ top: 0 })}
          className="absolute top-10 left-1/2 z-10 inline-flex h-7 -translate-x-1/2 items-center gap-1.5 rounded-full bg-accent px-3 text-sm text-on-accent shadow-overlay"
        >
          <ArrowUp size={13} aria-hidden />
          {unseen === 1 ? "1 new event" : `${unseen} new events`}
        </button>
      )}
      <div
        ref={scroller}
        onScroll={({ currentTarget }) => currentTarget.scrollTop < ROW_PX && setUnseen(0)}
        className="min-h-0 flex-1 overflow-y-auto"
      >
        <ol
          aria-label="Events, newest first"
          onKeyDown={onKeyDown}
          className="relative"
          style={{ height: virtual.getTotalSize() + (isWhole ? ROW_PX : 0) }}
        >
          {items.map((item) => {
            const event = events[item.index];
            return (
              event && (
                <li
                  key={item.key}
                  className="absolute inset-x-0 top-0"
                  style={{ transform: `translateY(${item.start}px)` }}
                >
                  <Row
                    event={event}
                    index={item.index}
                    nameOf={nameOf}
                    isOpen={event.position === open}
                    onOpen={onOpen}
                  />
                </li>
              )
            );
          })}
          {isWhole && (
            <li className="absolute inset-x-0 bottom-0 flex h-9 items-center justify-center text-sm text-ink-3">
              The beginning of the log
            </li>
          )}
        </ol>
      </div>
    </div>
  );
}

function Row({
  event,
  index,
  nameOf,
  isOpen,
  onOpen,
}: {
  event: Envelope;
  index: number;
  nameOf: NameOf;
  isOpen: boolean;
  onOpen: (position: number) => void;
}) {
  return (
    <button
      type="button"
      data-row={index}
      aria-current={isOpen || undefined}
      onClick={() => onOpen(event.position)}
      className={cn(
        ROW,
        "h-9 border-b border-line -outline-offset-2 hover:bg-hover",
        isOpen && "bg-accent-soft",
      )}
    >
      <span className="tabular text-sm text-ink-3">{event.position}</span>
      <time dateTime={event.recorded_at} className="tabular text-sm text-ink-2 @max-lg:order-last">
        {MOMENT.format(new Date(event.recorded_at))}
      </time>
      <span className="min-w-0 @max-lg:hidden">
        <Actor event={event} />
      </span>
      <Type type={event.type} />
      <span className="truncate @max-4xl:hidden">
        <span className="text-ink-2">{subjectWords(event, nameOf)}</span>{" "}
        <span className="font-mono text-xs text-ink-3">{summary(event, nameOf)}</span>
      </span>
    </button>
  );
}

/** Who did it. */
export function Actor({ event }: { event: Pick<Envelope, "actor"> }) {
  const nameOf = useDirectory();
  const who = nameOf(event.actor.id);
  const name = who.kind === "unknown" && event.actor.kind === "system" ? "System" : who.name;
  return (
    <span className="flex min-w-0 items-center gap-2">
      <Avatar who={{ ...who, name }} />
      <span className="truncate text-ink-2">{name}</span>
    </span>
  );
}

/** An event's type, with its noun set back. */
export function Type({ type }: { type: string }) {
  const [noun, ...rest] = type.split(".");
  return (
    <span className="truncate" title={type}>
      <span className="text-ink-3">{noun}.</span>
      {rest.join(".")}
    </span>
  );
}

/** The log's first moments. */
export function LogSkeleton() {
  return (
    <div role="status" aria-label="Loading the log" className="@container flex flex-col">
      {Array.from({ length: 14 }, (_, row) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: grey blocks have no other name
        <div key={row} className={cn(ROW, "h-9 border-b border-line")}>
          <Skeleton className="h-3 w-8" />
          <Skeleton className="h-3 w-24 @max-lg:hidden" />
          <Skeleton className="h-3 w-28" />
          <Skeleton className="h-3 w-36 @max-lg:hidden" />
          <Skeleton className="h-3 w-16 @max-4xl:hidden" />
        </div>
      ))}
    </div>
  );
}
