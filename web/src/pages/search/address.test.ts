import { describe, expect, it } from "vitest";
import { inForce, searchAddress, toggled } from "./address";

describe("the address of a search", () => {
  it("leaves out what makes no sense", () => {
    expect(
      searchAddress({ q: 42, type: ["comment", "cat"], board: "x", label: "", stage: "ready" }),
    ).toEqual({ q: "42", type: ["comment"], stage: ["ready"] });
  });

  it("takes values of a facet in and out", () => {
    const one = toggled({ q: "crane" }, "priority", "high");
    expect(one).toEqual({ q: "crane", priority: ["high"] });
    const two = toggled(one, "priority", "urgent");
    expect(two.priority).toEqual(["urgent", "high"]);
    expect(toggled(toggled(two, "priority", "high"), "priority", "urgent")).toEqual({ q: "crane" });
  });

  it("has one label at most", () => {
    expect(toggled({ label: "a" }, "label", "b")).toEqual({ label: "b" });
    expect(toggled({ label: "a" }, "label", "a")).toEqual({});
  });

  it("knows what narrows it down", () => {
    expect(inForce({ q: "x", label: "a", type: ["mission"] })).toEqual(["type", "label"]);
  });
});
