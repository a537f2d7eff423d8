import { expect, test } from "vitest";
import { type From, indexAt, neighbour, notBefore, reader, STEPS, type Step } from "./steps";

const known = [3, 7, 8].map((position) => ({ position }) as Step);

test("what is seen at a position is the last event up to it", () => {
  expect(indexAt(known, 7)).toBe(1);
  expect(indexAt(known, 6)).toBe(0);
  expect(indexAt(known, 2)).toBe(-1);
});

test("a step leads to the event beside the one that is seen", () => {
  expect(neighbour(known, 7, 1)?.position).toBe(8);
  expect(neighbour(known, 7, -1)?.position).toBe(3);
  expect(neighbour(known, 5, 1)?.position).toBe(7);
  expect(neighbour(known, 2, 1)?.position).toBe(3);
});

test("beyond what is known there is no step", () => {
  expect(neighbour(known, 8, 1)).toBeUndefined();
  expect(neighbour(known, 3, -1)).toBeUndefined();
  expect(neighbour(known, 2, -1)).toBeUndefined();
  expect(neighbour([], 2, 1)).toBeUndefined();
});

test("a time before a board's first event is taken for that event", () => {
  const first = { position: 3, recorded_at: "2026-03-01T09:00:00.5Z" } as Step;
  expect(notBefore(first, "2026-03-01T09:00:00Z")).toBe("3");
  expect(notBefore(first, "2026-03-01T09:00:01Z")).toBe("2026-03-01T09:00:01Z");
  expect(notBefore(null, "2026-03-01T09:00:00Z")).toBe("2026-03-01T09:00:00Z");
});

const TIME = "2026-03-01T09:00:00Z";

test("events of one time that are more than a look brings are read to their end, none twice", async () => {
  const all = Array.from({ length: 2.5 * STEPS }, (_, index) => index + 1);
  const asked: From[] = [];
  const look = async (from: From) => {
    asked.push(from);
    const after = "after" in from ? from.after : 0;
    const next = all.filter((position) => position > after).slice(0, STEPS);
    return next.map((position) => ({ position, recorded_at: TIME }) as Step);
  };
  const events = reader({ since: TIME }, look);
  const found: number[] = [];
  while (!events.isWhole() && asked.length < 10) {
    found.push(...(await events.more()).map(({ position }) => position));
  }
  expect(found).toEqual(all);
  expect(asked).toEqual([{ since: TIME }, { after: STEPS }, { after: 2 * STEPS }]);
});

test("what could not be read is asked for again from the same place", async () => {
  const asked: From[] = [];
  const look = async (from: From) => {
    asked.push(from);
    if (asked.length === 1) throw new Error("away");
    return [];
  };
  const events = reader({ after: 7 }, look);
  await expect(events.more()).rejects.toThrow("away");
  expect(events.isWhole()).toBe(false);
  expect(await events.more()).toEqual([]);
  expect(asked).toEqual([{ after: 7 }, { after: 7 }]);
});
