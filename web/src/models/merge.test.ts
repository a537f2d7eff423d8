import { describe, expect, it } from "vitest";
import { merge } from "./merge";
import type { Mission } from "./types";

const base = {
  title: "Count",
  description: "All of it",
  priority: "normal",
  labels: ["a", "b"],
  due: null,
} as unknown as Mission;

describe("merge", () => {
  it("sends what nobody else touched", () => {
    const theirs = { ...base, description: "Half of it" };
    expect(merge(base, { title: "Count twice" }, theirs)).toEqual({
      edit: { title: "Count twice" },
      conflicts: [],
    });
  });

  it("asks where both changed the same", () => {
    const theirs = { ...base, title: "Weigh" };
    expect(merge(base, { title: "Measure", priority: "high" }, theirs)).toEqual({
      edit: { priority: "high" },
      conflicts: [{ field: "title", theirs: "Weigh", mine: "Measure" }],
    });
  });

  it("has nothing to do where both wrote the same", () => {
    expect(merge(base, { title: "Weigh" }, { ...base, title: "Weigh" })).toEqual({
      edit: {},
      conflicts: [],
    });
  });

  it("merges lists by what was put in and taken out", () => {
    const theirs = { ...base, labels: ["b", "theirs"] };
    expect(merge(base, { labels: ["a", "b", "mine"] }, theirs).edit.labels).toEqual([
      "b",
      "theirs",
      "mine",
    ]);
    expect(
      merge(base, { labels: ["a"] }, { ...base, labels: ["a", "b", "c"] }).edit.labels,
    ).toEqual(["a", "c"]);
  });
});
