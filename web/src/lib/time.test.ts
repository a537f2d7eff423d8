import { expect, test } from "vitest";
import { day, relative, toTheSecond } from "./time";

const NOW = Date.parse("2026-03-31T12:00:00Z");
const ago = (days: number) => relative(new Date(NOW - days * 86_400_000).toISOString(), NOW);

test("a time is told in the largest unit of which there are two, so that little is lost", () => {
  expect([0, 0.5, 1, 13, 14, 59, 60, 729, 730].map(ago)).toEqual([
    "now",
    "12h ago",
    "yesterday",
    "13d ago",
    "2w ago",
    "8w ago",
    "2mo ago",
    "24mo ago",
    "2y ago",
  ]);
});

test("a moment is told to the second, and its year where that is not this one", () => {
  const of = (year: number) => new Date(year, 10, 18, 9, 42, 53).getTime();
  expect(toTheSecond(of(2026), of(2026))).toBe("Nov 18, 09:42:53");
  expect(toTheSecond(of(2025), of(2026))).toBe("Nov 18, 2025, 09:42:53");
});

test("a day has its year where that is not this one", () => {
  const of = (year: number) => new Date(year, 2, 10, 12).getTime();
  const iso = (year: number) => new Date(of(year)).toISOString();
  expect(day(iso(2026), of(2026))).toBe("Mar 10");
  expect(day(iso(2030), of(2026))).toBe("Mar 10, 2030");
});
