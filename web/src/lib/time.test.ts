import { expect, test } from "vitest";
import { relative } from "./time";

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
