import { queryOptions, useQuery, useQueryClient } from "@tanstack/react-query";
import { ChevronDown, Pause, Play, StepBack, StepForward } from "lucide-react";
import { type KeyboardEvent, type PointerEvent, useEffect, useMemo, useRef, useState } from "react";
import { api, body } from "@/api/client";
import { problemOf } from "@/api/problem";
import { boardModel, useDirectory } from "@/api/queries";
import { eventWords } from "@/lib/eventWords";
import { cn } from "@/lib/text";
import { toTheSecond } from "@/lib/time";
import {
  type Density,
  eventName,
  isPosition,
  momentAt,
  outline,
  type Span,
  shareOf,
  spanOf,
  ticks,
  timeOf,
} from "@/lib/timeline";
import { useLive, useOverdue } from "@/live/query";
import { toast } from "@/ui/announce";
import { Button, IconButton } from "@/ui/Button";
import { Menu, MenuItem } from "@/ui/Menu";
import { useMoment, useTravel } from "./moment";
import { SPEEDS, type Speed, type Start, usePlayback } from "./playback";
import { useShortcuts } from "./shortcuts";
import { firstStepQuery, indexAt, neighbour, notBefore, type Step, stepsQuery } from "./steps";

const HOUR_S = 3_600;
const RANGES = [
  ["Last hour", HOUR_S],
  ["Last day", 24 * HOUR_S],
  ["Last week", 7 * 24 * HOUR_S],
  ["All time", null],
] as const;
type Range = (typeof RANGES)[number];
const EVERYTHING = RANGES[3];

const BUCKETS = 240;
const DENSITY_STALE_MS = 30_000;
/** A hand that stops for so long has arrived: the address takes the moment over. */
const ARRIVED_MS = 350;
/** What Page Up and Page Down go over, of the whole line. */
const LEAP = 0.05;
const TICKS_MAX = 8;
/** Ticks nearer to an end than this leaves would have their names cut. */
const INNER = 0.92;
/** The position of a moment at which there was no board yet. */
const BEFORE = -1;

const CLOCK = new Intl.DateTimeFormat("en", {
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
});
const DAY = new Intl.DateTimeFormat("en", { month: "short", day: "numeric" });
const DAY_MS = 24 * HOUR_S * 1000;

const densityQuery = (boardId: string, [name, seconds]: Range) =>
  queryOptions({
    queryKey: ["density", boardId, name],
    queryFn: ({ signal }) => {
      const query = { board_id: boardId, buckets: BUCKETS, ...boundsOf(seconds) };
      return body<Density>(api.GET("/api/events/density", { params: { query }, signal }));
    },
    staleTime: DENSITY_STALE_MS,
    refetchInterval: DENSITY_STALE_MS,
    // From one range to the next, and not from one board to another, which may be much older.
    placeholderData: (before, query) => (query?.queryKey[1] === boardId ? before : undefined),
  });

/** Both ends of a range: with one alone, a board on which nothing happened of late would have no line. */
function boundsOf(seconds: number | null): { since?: string; until?: string } {
  if (seconds === null) return {};
  const now = Date.now();
  return {
    since: new Date(now - seconds * 1000).toISOString(),
    until: new Date(now).toISOString(),
  };
}

/** The line of time under a board: how much happened when, and the moment that is shown, to be moved. */
export default function Timeline({ boardId }: { boardId: string }) {
  const [range, setRange] = useState<Range>(EVERYTHING);
  const { data: density, dataUpdatedAt } = useQuery(densityQuery(boardId, range));
  const { at, isPast } = useMoment();
  const { hold, go } = useTravel();
  const [speed, setSpeed] = useState<Speed>(10);
  const [playFrom, setPlayFrom] = useState<Start | null>(null);
  const [scrubbed, setScrubbed] = useState<number | null>(null);
  const span = useMemo(
    () => (density === undefined ? null : spanOf(density, dataUpdatedAt)),
    [density, dataUpdatedAt],
  );
  const shown = useLive(boardModel(boardId, at));
  const isOverdue = useOverdue(shown);
  const settled = isPast && shown.data !== undefined && !shown.isPlaceholderData;
  const isBefore = isPast && shown.error !== null && problemOf(shown.error).status === 404;
  const position = settled
    ? shown.data.position
    : isBefore
      ? BEFORE
      : isPast
        ? null
        : Number.POSITIVE_INFINITY;
  const asOf = settled ? (shown.data.asOf ?? undefined) : undefined;
  const step = useSteps(boardId, at, position, asOf);

  const playTime = usePlayback({
    boardId,
    start: playFrom,
    speed,
    isHeld: isOverdue || (shown.error !== null && !isBefore),
    show: hold,
    end: () => {
      setPlayFrom(null);
      void go(undefined);
    },
    fail: (error) => {
      pause();
      toast(`Paused: what comes next can't be read. ${problemOf(error).message}`, "bad");
    },
  });
  const isPlaying = playFrom !== null;
  const pause = () => {
    setPlayFrom(null);
    void go(at);
  };
  const play = () => {
    if (isPlaying) pause();
    else if (span !== null) setPlayFrom(startOf(at, asOf, span));
  };

  const arrival = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(arrival.current), []);
  const show = (moment: string | undefined) => {
    clearTimeout(arrival.current);
    setPlayFrom(null);
    hold(moment);
    arrival.current = setTimeout(() => void go(moment), ARRIVED_MS);
  };
  const stepBy = async (by: 1 | -1) => {
    const found = await step.by(by);
    if (found !== null) show(found.at);
  };
  const { data: first = null } = useQuery(firstStepQuery(boardId));
  const onBoard = (moment: string | undefined) =>
    moment === undefined ? moment : notBefore(first, moment);
  const client = useQueryClient();
  /** As `onBoard`, where the first event may still be on its way. */
  const placed = async (moment: string | undefined) => {
    if (moment === undefined) return moment;
    const known = await client.fetchQuery(firstStepQuery(boardId)).catch(() => null);
    return notBefore(known, moment);
  };
  useShortcuts([
    { keys: "[", label: "One event back", group: "Time travel", run: () => void stepBy(-1) },
    { keys: "]", label: "One event on", group: "Time travel", run: () => void stepBy(1) },
    { keys: "t", label: "Play or pause the time", group: "Time travel", run: play },
  ]);

  const now = span?.end ?? dataUpdatedAt;
  // Not known yet, or of an event that has not been: it has no place on the line but the end, and no time to tell.
  const exact = scrubbed ?? playTime ?? (at === undefined ? now : exactTime(at, asOf, density));
  const time = Number.isNaN(exact) ? now : exact;
  const label =
    at !== undefined && Number.isNaN(exact)
      ? eventName(at)
      : isPast || scrubbed !== null
        ? toTheSecond(time)
        : "Now";
  return (
    <section
      aria-label="Timeline"
      // From when on a step leads somewhere.
      data-placed={position !== null}
      className="@container shrink-0 border-t border-line bg-surface"
    >
      <div className="grid h-timeline grid-cols-[auto_1fr_auto] items-center gap-x-3 px-3 @max-2xl:h-timeline-tall @max-2xl:grid-cols-[1fr_auto] @max-2xl:content-center @max-2xl:gap-y-1 @2xl:px-4">
        <div className="flex items-center">
          <IconButton label="One event back ([)" onClick={() => void stepBy(-1)}>
            <StepBack size={15} aria-hidden />
          </IconButton>
          <IconButton
            label={isPlaying ? "Pause (T)" : "Play (T)"}
            aria-pressed={isPlaying}
            onClick={play}
            className={cn(isPlaying && "!text-past")}
          >
            {isPlaying ? <Pause size={15} aria-hidden /> : <Play size={15} aria-hidden />}
          </IconButton>
          <IconButton label="One event on (])" disabled={!isPast} onClick={() => void stepBy(1)}>
            <StepForward size={15} aria-hidden />
          </IconButton>
          <Menu
            trigger={
              <Button kind="quiet" className="tabular !gap-1 !px-1.5" aria-label="Speed">
                {speed}×
                <ChevronDown size={12} aria-hidden className="@max-2xl:hidden" />
              </Button>
            }
          >
            {SPEEDS.map((each) => (
              <MenuItem key={each} checked={each === speed} onSelect={() => setSpeed(each)}>
                {each}×
              </MenuItem>
            ))}
          </Menu>
          <Menu
            trigger={
              <Button kind="quiet" className="!gap-1 !px-1.5" aria-label="Range of the timeline">
                {range[0]}
                <ChevronDown size={12} aria-hidden className="@max-2xl:hidden" />
              </Button>
            }
          >
            {RANGES.map((each) => (
              <MenuItem
                key={each[0]}
                checked={each[0] === range[0]}
                onSelect={() => setRange(each)}
              >
                {each[0]}
              </MenuItem>
            ))}
          </Menu>
        </div>
        <div className="@max-2xl:order-last @max-2xl:col-span-2">
          {span === null || density === undefined ? (
            <div className="h-12" />
          ) : (
            <Line
              density={density}
              span={span}
              time={time}
              isPast={isPast || scrubbed !== null}
              text={label}
              onScrub={(moment, there) => {
                clearTimeout(arrival.current);
                setPlayFrom(null);
                setScrubbed(there);
                hold(onBoard(moment));
              }}
              onArrive={(moment) => {
                setScrubbed(null);
                void placed(moment).then(go);
              }}
              onLeap={(moment) => void placed(moment).then(show)}
              onStep={(by) => void stepBy(by)}
              onPlay={play}
            />
          )}
        </div>
        <p
          className={cn(
            "flex flex-col items-end overflow-hidden text-right @2xl:w-32 @4xl:w-48 @6xl:w-64",
            !isPast && "@max-2xl:hidden",
          )}
        >
          <span
            className={cn(
              "tabular font-medium whitespace-nowrap @max-2xl:text-sm",
              isPast ? "text-past" : "text-ink-2",
            )}
          >
            {label}
          </span>
          <Caption step={isPast && !isPlaying ? step.seen : undefined} />
        </p>
      </div>
    </section>
  );
}

/** What happened last at the moment that is shown. */
function Caption({ step }: { step: Step | undefined }) {
  const nameOf = useDirectory();
  if (step === undefined) return null;
  const text = `${nameOf(step.actor_id).name}: ${eventWords(step.type)}`;
  const whole = step.mission_title === null ? text : `${text}, “${step.mission_title}”`;
  return (
    <span title={whole} className="max-w-full truncate text-sm text-ink-2 @max-2xl:hidden">
      {whole}
    </span>
  );
}

/** The line itself: a slider over the outline of what happened. */
function Line({
  density,
  span,
  time,
  isPast,
  text,
  onScrub,
  onArrive,
  onLeap,
  onStep,
  onPlay,
}: {
  density: Density;
  span: Span;
  time: number;
  isPast: boolean;
  text: string;
  /** A hand moves over the line; `there` is the time under it. */
  onScrub: (at: string | undefined, there: number) => void;
  onArrive: (at: string | undefined) => void;
  onLeap: (at: string | undefined) => void;
  onStep: (by: 1 | -1) => void;
  onPlay: () => void;
}) {
  const [hovered, setHovered] = useState<number | null>(null);
  const path = useMemo(() => outline(density, span), [density, span]);
  const marks = useMemo(
    () => ticks(span, TICKS_MAX).filter((mark) => Math.abs(shareOf(span, mark) - 0.5) < INNER / 2),
    [span],
  );
  const share = shareOf(span, time);
  const pointed = (event: PointerEvent<HTMLElement>) => {
    const { left, width } = event.currentTarget.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - left) / width));
  };
  const scrub = (event: PointerEvent<HTMLElement>) => {
    const to = pointed(event);
    onScrub(momentAt(span, to), span.start + to * (span.end - span.start));
  };
  const actOf = (key: string): (() => void) | undefined => {
    if (key === "ArrowLeft" || key === "ArrowDown") return () => onStep(-1);
    if (key === "ArrowRight" || key === "ArrowUp") return () => onStep(1);
    if (key === "PageDown") return () => onLeap(momentAt(span, share - LEAP));
    if (key === "PageUp") return () => onLeap(momentAt(span, share + LEAP));
    if (key === "Home") return () => onLeap(momentAt(span, 0));
    if (key === "End") return () => onLeap(undefined);
    return key === " " ? onPlay : undefined;
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const act = actOf(event.key);
    if (act === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  };
  return (
    <div
      role="slider"
      tabIndex={0}
      aria-label="Moment shown"
      aria-valuemin={Math.round(span.start / 1000)}
      aria-valuemax={Math.round(span.end / 1000)}
      aria-valuenow={Math.round(time / 1000)}
      aria-valuetext={text}
      onKeyDown={onKeyDown}
      onPointerDown={(event) => {
        if (event.button !== 0) return;
        event.currentTarget.setPointerCapture(event.pointerId);
        scrub(event);
      }}
      onPointerMove={(event) => {
        setHovered(pointed(event));
        if (event.currentTarget.hasPointerCapture(event.pointerId)) scrub(event);
      }}
      onPointerUp={(event) => {
        if (event.currentTarget.hasPointerCapture(event.pointerId)) {
          onArrive(momentAt(span, pointed(event)));
        }
      }}
      onPointerLeave={() => setHovered(null)}
      className="relative h-12 cursor-ew-resize touch-none rounded-sm select-none"
    >
      <div className="absolute inset-x-0 top-1 h-7">
        <Bars path={path} className="text-line-strong" />
        {isPast && <Bars path={path} className="text-past" upTo={share} />}
        <div className="absolute inset-x-0 bottom-0 h-px bg-line-strong" />
      </div>
      <ol aria-hidden className="tabular absolute inset-x-0 bottom-0 h-4 text-xs text-ink-3">
        {marks.map((mark) => (
          <li
            key={mark}
            className="absolute -translate-x-1/2 whitespace-nowrap"
            style={{ left: `${shareOf(span, mark) * 100}%` }}
          >
            {span.end - span.start > 2 * DAY_MS ? DAY.format(mark) : CLOCK.format(mark)}
          </li>
        ))}
      </ol>
      {hovered !== null && (
        <div
          className="pointer-events-none absolute -top-7 z-20 -translate-x-1/2 rounded-md border border-line bg-overlay px-2 py-0.5 text-sm whitespace-nowrap shadow-card"
          style={{ left: `clamp(4rem, ${hovered * 100}%, calc(100% - 4rem))` }}
        >
          <span className="tabular">{hoverText(density, span, hovered)}</span>
        </div>
      )}
      <div
        className={cn(
          "pointer-events-none absolute top-0 h-8 w-0.5 -translate-x-1/2 rounded-full",
          isPast ? "bg-past" : "bg-good",
        )}
        style={{ left: `${share * 100}%` }}
      >
        <span
          className={cn(
            "absolute -top-0.5 left-1/2 size-2.5 -translate-x-1/2 rounded-full border-2 border-surface",
            isPast ? "bg-past" : "bg-good",
          )}
        />
      </div>
    </div>
  );
}

function Bars({ path, className, upTo = 1 }: { path: string; className: string; upTo?: number }) {
  return (
    <svg
      viewBox="0 0 1 1"
      preserveAspectRatio="none"
      aria-hidden
      className={cn("absolute inset-0 size-full", className)}
      style={upTo < 1 ? { clipPath: `inset(0 ${(1 - upTo) * 100}% 0 0)` } : undefined}
    >
      <path d={path} fill="currentColor" />
    </svg>
  );
}

function hoverText(density: Density, span: Span, share: number): string {
  if (momentAt(span, share) === undefined) return "Now";
  const time = span.start + share * (span.end - span.start);
  const bucket = density.buckets.findLast(({ start }) => Date.parse(start) <= time);
  const isIn = bucket && time < Date.parse(bucket.start) + density.bucket_s * 1000;
  const events = isIn ? bucket.events : 0;
  return `${toTheSecond(time).slice(0, -3)} · ${events === 1 ? "1 event" : `${events} events`}`;
}

/** Returns when a moment was: as its answer says, or until that is in, by the line. */
function exactTime(at: string, asOf: string | undefined, density: Density | undefined): number {
  if (isPosition(at) && asOf !== undefined) return Date.parse(asOf);
  return density === undefined ? Number.NaN : timeOf(density, at);
}

/** Returns where a playback starts: at the moment that is shown, or where the line begins. */
function startOf(at: string | undefined, asOf: string | undefined, span: Span): Start {
  if (at !== undefined && isPosition(at) && asOf !== undefined) {
    return { time: asOf, from: { after: Number(at) } };
  }
  const time = at === undefined || isPosition(at) ? new Date(span.start).toISOString() : at;
  return { time, from: { since: time } };
}

/** The events beside the moment that is shown: the last that is seen there, and how to go one on or back. */
function useSteps(
  boardId: string,
  at: string | undefined,
  position: number | null,
  asOf: string | undefined,
) {
  const client = useQueryClient();
  const [anchor, setAnchor] = useState<number | undefined>();
  const here = asOf === undefined ? undefined : (position ?? undefined);
  const wanted = useRef<{ from: string | undefined; position: number } | null>(null);
  const known = useQuery({
    ...stepsQuery(boardId, anchor ?? here),
    enabled: here !== undefined,
  });
  const list = here === undefined ? [] : (known.data ?? []);
  const isInside =
    position !== null && indexAt(list, position) > 0 && indexAt(list, position) < list.length - 1;
  // What is known around one event serves its neighbours too: it is asked anew where they end.
  useEffect(() => {
    if (here !== undefined && !isInside) setAnchor(here);
  }, [here, isInside]);
  const seen = position === null ? undefined : list[indexAt(list, position)];
  const by = async (direction: 1 | -1): Promise<{ at: string | undefined } | null> => {
    // A key that is held down steps from where it last went, whether or not that is shown yet.
    const from =
      wanted.current !== null && wanted.current.from === at ? wanted.current.position : position;
    if (from === null) return null;
    if (from === Number.POSITIVE_INFINITY && direction > 0) return null;
    if (from === BEFORE && direction < 0) return null;
    let found = neighbour(list, from, direction);
    if (found === undefined && from === BEFORE) {
      found = (await client.fetchQuery(firstStepQuery(boardId))) ?? undefined;
    } else if (found === undefined) {
      const around = from === Number.POSITIVE_INFINITY ? undefined : from;
      found = neighbour(await client.fetchQuery(stepsQuery(boardId, around)), from, direction);
    }
    if (found === undefined) return direction > 0 ? { at: undefined } : null;
    wanted.current = { from: String(found.position), position: found.position };
    return { at: String(found.position) };
  };
  return { seen, by };
}
