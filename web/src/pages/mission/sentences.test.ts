import { describe, expect, it } from "vitest";
import type { Happening } from "@/models/timeline";
import { sentenceOf } from "./sentences";

const names = { nameOf: () => ({ name: "Keel" }), columns: [] };
const told = (type: string, more: object = {}, details: object = {}) =>
  sentenceOf(
    {
      type,
      actor_id: "a",
      subject_id: null,
      from_board_id: null,
      ...more,
      details: { changed: [], stage: null, percent: null, ...details },
    } as unknown as Happening,
    names,
  );

describe("sentences", () => {
  it("name what was changed", () => {
    expect(told("mission.edited.v1", {}, { changed: ["title", "due", "labels"] })).toBe(
      "changed the title, the due date and the labels",
    );
  });

  it("name whom it was done to", () => {
    expect(told("mission.assigned.v1", { subject_id: "k" })).toBe("assigned Keel");
    expect(told("mission.assigned.v1", { subject_id: "a" })).toBe("assigned themselves");
    expect(told("mission.unassigned.v1", { subject_id: "a" })).toBe("stepped back");
  });

  it("show a type that nobody has words for as it is", () => {
    expect(told("mission.frozen.v1")).toBe("mission.frozen.v1");
  });
});
