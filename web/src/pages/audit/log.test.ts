import { expect, test } from "vitest";
import { type Envelope, pageBefore, type Read } from "./log";

/** A log in which every `every`th position passes the filter; notes the windows that are read. */
function log(head: number, every: number, windows: number[][] = []): Read {
  return async (from, before) => {
    windows.push([from, before]);
    const events: Envelope[] = [];
    for (let position = from + 1; position < Math.min(before, head + 1); position += 1) {
      if (position % every === 0) events.push({ position } as Envelope);
    }
    return events;
  };
}

test("a page is the newest events, newest first", async () => {
  const { events, before } = await pageBefore(log(1000, 1), 1001);
  expect(events).toHaveLength(200);
  expect([events[0]?.position, events.at(-1)?.position]).toEqual([1000, 801]);
  expect(before).toBe(801);
});

test("pages follow on one another without a gap, to the log's beginning", async () => {
  const read = log(5000, 7);
  const found: number[] = [];
  for (let before: number | null = 5001; before !== null; ) {
    const page = await pageBefore(read, before);
    found.push(...page.events.map(({ position }) => position));
    before = page.before;
  }
  expect(found).toEqual(Array.from({ length: 714 }, (_, index) => (714 - index) * 7));
});

test("a filter that finds nothing widens what is read, in a few looks", async () => {
  const windows: number[][] = [];
  const { events, before } = await pageBefore(log(100_000, 1_000_000, windows), 100_001);
  expect(events).toEqual([]);
  expect(before).toBeNull();
  expect(windows.length).toBeLessThan(6);
});
