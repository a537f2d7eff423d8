import { word } from "./address";

/** What happened in a stretch of time, as `GET /api/events/density` counts it. */
export type Bucket = {
  start: string;
  events: number;
  first_position: number | null;
  last_position: number | null;
  as_of: number;
};
export type Density = { position: number; bucket_s: number; buckets: Bucket[] };

/** A stretch of time on a line, in milliseconds. */
export type Span = { start: number; end: number };

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** Steps that somebody reads a clock or a calendar by. */
const TICKS_MS = [
  ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * MINUTE_MS),
  ...[1, 2, 3, 6, 12].map((hours) => hours * HOUR_MS),
  ...[1, 2, 7, 14, 28, 91, 182, 364].map((days) => days * DAY_MS),
];

/** Returns the time that a density is of: from the first bucket that has a past, to now. Null where nothing ever happened. */
export function spanOf(density: Density, now: number): Span | null {
  const first = density.buckets.find(({ as_of }) => as_of > 0);
  if (first === undefined) return null;
  const start = Date.parse(first.start);
  return { start, end: Math.max(now, start + SECOND_MS) };
}

/** Returns where a time is on a span, from 0 to 1. */
export function shareOf({ start, end }: Span, time: number): number {
  return Math.min(1, Math.max(0, (time - start) / (end - start)));
}

/**
 * Returns the moment at a share of a span, as the API and the address know it: a time in whole seconds, so
 * that the same place asks for the same moment. Undefined is now: the end of the span.
 */
export function momentAt({ start, end }: Span, share: number): string | undefined {
  const time = start + Math.max(0, share) * (end - start);
  // The last second is still going on: a clock that is ahead of the server's would ask for the future.
  if (time > end - SECOND_MS) return undefined;
  return `${new Date(time - (time % SECOND_MS)).toISOString().slice(0, 19)}Z`;
}

/**
 * Returns when a moment was, by the line alone: a position's time lies between its bucket's ends. NaN where that has not
 * been yet, as far as the line knows.
 */
export function timeOf(density: Density, at: string): number {
  if (!isPosition(at)) return Date.parse(at);
  const position = Number(at);
  if (position > density.position) return Number.NaN;
  const bucket = density.buckets.find(({ as_of }) => as_of >= position) ?? density.buckets.at(-1);
  if (bucket === undefined) return Number.NaN;
  const start = Date.parse(bucket.start);
  if (bucket.first_position === null || bucket.events === 0) return start;
  const share = (position - bucket.first_position) / bucket.events;
  return start + Math.min(1, Math.max(0, share)) * density.bucket_s * 1000;
}

/** Whether a moment is a position of the log, and no time. */
export function isPosition(at: string): boolean {
  return /^\d{1,16}$/.test(at);
}

/** Returns what a moment is called while its time is unknown. */
export function eventName(at: string): string {
  return `Event ${Number(at).toLocaleString("en")}`;
}

/** Returns what of an address names a moment, or undefined where it makes no sense. */
export function readMoment(raw: unknown): string | undefined {
  const at = word(raw);
  if (at === undefined) return undefined;
  const isTime =
    /^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)$/.test(at) && !Number.isNaN(Date.parse(at));
  return isPosition(at) || isTime ? at : undefined;
}

/**
 * Returns the outline of the bars over a span, in a box of 1 by 1 that has its origin at the top. Heights are
 * logarithmic, as a busy minute would make the quiet ones vanish.
 */
export function outline(density: Density, span: Span): string {
  const most = Math.max(1, ...density.buckets.map(({ events }) => events));
  const width = (density.bucket_s * 1000) / (span.end - span.start);
  return density.buckets
    .filter(({ events }) => events > 0)
    .map(({ start, events }) => {
      const x = (Date.parse(start) - span.start) / (span.end - span.start);
      const height = Math.log1p(events) / Math.log1p(most);
      return `M${x.toFixed(5)} 1V${(1 - height).toFixed(4)}H${(x + width * BAR_SHARE).toFixed(5)}V1Z`;
    })
    .join("");
}

const BAR_SHARE = 0.72;

/** Returns at most so many round times within a span, in the reader's own time zone. */
export function ticks({ start, end }: Span, most: number): number[] {
  const step = TICKS_MS.find((size) => (end - start) / size <= most) ?? (TICKS_MS.at(-1) as number);
  const offset = new Date(start).getTimezoneOffset() * MINUTE_MS;
  const found: number[] = [];
  for (let time = Math.ceil((start - offset) / step) * step + offset; time < end; time += step) {
    found.push(time);
  }
  return found;
}

/**
 * Returns where a playback that was at `clock` is after `elapsed` milliseconds at `speed`. Where the next event
 * is further off than `patience` (milliseconds of the viewer's), the quiet time before it is skipped.
 */
export function played(
  clock: number,
  elapsed: number,
  speed: number,
  next: number | undefined,
  patience: number,
): number {
  const moved = clock + elapsed * speed;
  return next === undefined ? moved : Math.max(moved, next - patience * speed);
}

/**
 * Returns a function that takes values as they come and asks for one at a time: when an answer is in, the
 * newest value is next, and what came between is never asked for.
 */
export function newestOnly<T>(ask: (value: T) => Promise<unknown>) {
  let next: { value: T } | null = null;
  let isBusy = false;
  const run = async () => {
    isBusy = true;
    while (next !== null) {
      const { value } = next;
      next = null;
      await ask(value).catch(() => undefined);
    }
    isBusy = false;
  };
  return {
    offer: (value: T) => {
      next = { value };
      if (!isBusy) void run();
    },
    cancel: () => {
      next = null;
    },
  };
}
