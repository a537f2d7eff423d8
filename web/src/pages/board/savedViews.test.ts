import { expect, test } from "vitest";
import { readViews } from "./savedViews";

test("views that were stored are read, and what makes no sense in them is left out", () => {
  const stored = [
    { name: "Mine", view: { q: "hull", group: "priority", priority: ["high", "odd"], at: 4 } },
    { name: 3, view: {} },
    { name: "Nothing", view: null },
    null,
  ];
  expect(readViews(JSON.stringify(stored))).toEqual([
    { name: "Mine", view: { q: "hull", group: "priority", priority: ["high"] } },
  ]);
});

test("nothing stored, or something else in its place, is no view", () => {
  expect(readViews(null)).toEqual([]);
  expect(readViews("{}")).toEqual([]);
  expect(readViews("not JSON")).toEqual([]);
});
