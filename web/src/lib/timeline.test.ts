import { expect, test } from "vitest";
import {
  type Density,
  eventName,
  momentAt,
  newestOnly,
  outline,
  played,
  readMoment,
  shareOf,
  spanOf,
  ticks,
  timeOf,
} from "./timeline";

const MINUTE_MS = 60_000;
const START = Date.parse("2026-03-01T10:00:00Z");
const density: Density = {
  position: 30,
  bucket_s: 60,
  buckets: [
    { start: "2026-03-01T10:00:00Z", events: 10, first_position: 1, last_position: 10, as_of: 10 },
    {
      start: "2026-03-01T10:01:00Z",
      events: 0,
      first_position: null,
      last_position: null,
      as_of: 10,
    },
    { start: "2026-03-01T10:02:00Z", events: 20, first_position: 11, last_position: 30, as_of: 30 },
  ],
};
const span = { start: START, end: START + 10 * MINUTE_MS };

test("a span goes on to now, and there is none where nothing happened", () => {
  expect(spanOf(density, span.end)).toEqual(span);
  expect(spanOf({ ...density, buckets: [] }, span.end)).toBeNull();
});

test("a span begins with what happened first, and not where a range does", () => {
  const [first, ...others] = density.buckets as [Density["buckets"][0]];
  const empty = { start: "2026-02-28T10:00:00Z", events: 0, first_position: null } as const;
  const before = { ...empty, last_position: null, as_of: 0 };
  expect(spanOf({ ...density, buckets: [before, first, ...others] }, span.end)).toEqual(span);
  const quiet = { ...before, as_of: 7 };
  expect(spanOf({ ...density, buckets: [quiet, first, ...others] }, span.end)).toEqual({
    start: Date.parse(quiet.start),
    end: span.end,
  });
  expect(spanOf({ ...density, buckets: [before] }, span.end)).toBeNull();
});

test("a place on the line is a moment, and the moment is at that place", () => {
  const at = momentAt(span, 0.5) as string;
  expect(at).toBe("2026-03-01T10:05:00Z");
  expect(shareOf(span, timeOf(density, at))).toBe(0.5);
});

test("the end of the line is now", () => {
  expect(momentAt(span, 1)).toBeUndefined();
  expect(momentAt(span, 0.9999)).toBeUndefined();
  expect(momentAt(span, 0.99)).toBe("2026-03-01T10:09:54Z");
  expect(momentAt(span, -1)).toBe("2026-03-01T10:00:00Z");
});

test("a position lies within the bucket that has it", () => {
  expect(timeOf(density, "1")).toBe(START);
  expect(timeOf(density, "21")).toBe(START + 2.5 * MINUTE_MS);
  expect(timeOf(density, "30")).toBeLessThan(START + 3 * MINUTE_MS);
});

test("a position that nothing has reached has no time, but a name", () => {
  expect(timeOf(density, "31")).toBeNaN();
  expect(eventName("99999999")).toBe("Event 99,999,999");
});

test.each([
  [17, "17"],
  ["17", "17"],
  ["2026-03-01T10:00:00Z", "2026-03-01T10:00:00Z"],
  ["2026-03-01T10:00:00.125+02:00", "2026-03-01T10:00:00.125+02:00"],
  ["2026-03-01", undefined],
  ["2026-99-01T10:00:00Z", undefined],
  ["-1", undefined],
  [["1"], undefined],
])("of an address, %j is the moment %j", (raw, at) => {
  expect(readMoment(raw)).toBe(at);
});

test("the outline has a bar for each bucket with events, the busiest the highest", () => {
  const bars = outline(density, span).split("Z").filter(Boolean);
  expect(bars).toHaveLength(2);
  expect(bars[1]).toContain("V0.0000");
});

test("ticks are round and few", () => {
  const found = ticks(span, 5);
  expect(found.length).toBeLessThanOrEqual(5);
  expect(found.every((time) => time % (2 * MINUTE_MS) === 0)).toBe(true);
});

test("playback goes by its speed, and skips what is quiet", () => {
  expect(played(1000, 16, 10, 1500, 2000)).toBe(1160);
  expect(played(1000, 16, 10, 101_000, 2000)).toBe(81_000);
  expect(played(1000, 16, 10, undefined, 2000)).toBe(1160);
});

test("of what comes while an answer is out, only the newest is asked for", async () => {
  const asked: number[] = [];
  let answer = () => {};
  const { offer } = newestOnly(async (value: number) => {
    asked.push(value);
    await new Promise<void>((resolve) => {
      answer = resolve;
    });
  });
  for (const value of [1, 2, 3]) offer(value);
  answer();
  await new Promise((resolve) => setTimeout(resolve));
  expect(asked).toEqual([1, 3]);
});

test("a refusal does not stop what comes after it", async () => {
  const asked: number[] = [];
  const { offer } = newestOnly(async (value: number) => {
    asked.push(value);
    throw new Error("no");
  });
  offer(1);
  await new Promise((resolve) => setTimeout(resolve));
  offer(2);
  expect(asked).toEqual([1, 2]);
});
