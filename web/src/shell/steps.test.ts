import { expect, test } from "vitest";
import { indexAt, neighbour, notBefore, type Step } from "./steps";

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
