import { describe, expect, it } from "vitest";
import type { LiveEvent } from "./events";
import { applyToTimeline, changedBy, entriesOf, happening } from "./timeline";

const event = (pos: number, type: string, data: Record<string, unknown> = {}): LiveEvent => ({
  pos,
  prev: pos - 1,
  v: pos,
  event: type,
  payload: { entityId: "m", data, timestamp: "2026-03-01T09:00:00Z", userId: "someone" },
});
const progressed = (pos: number) =>
  event(pos, "mission.progressed.v1", { percent: pos, note: "on it" });

describe("timeline", () => {
  it("puts what is new first, once", () => {
    const empty = { happenings: [], older: null };
    const two = applyToTimeline(empty, [event(1, "mission.created.v1"), progressed(2)]);
    expect(two.happenings.map(({ position }) => position)).toEqual([2, 1]);
    expect(applyToTimeline(two, [progressed(2)])).toBe(two);
  });

  it("tells reasons, notes and progress, and no comment's text", () => {
    expect(happening(progressed(7)).details).toMatchObject({ percent: 7, text: "on it" });
    const comment = happening(event(8, "comment.added.v1", { body: "words", reason: "no" }));
    expect(comment).toMatchObject({ comment_id: "m", details: { text: null } });
  });

  it("tells which properties were changed", () => {
    const events = [
      event(3, "mission.edited.v1", { changed: ["due", "labels"] }),
      event(2, "mission.claimed.v1"),
      event(1, "comment.added.v1"),
    ];
    expect([...changedBy(events.map(happening))].sort()).toEqual(["due", "labels", "stage"]);
  });

  it("makes one entry of steps in a row", () => {
    const events = [progressed(4), progressed(3), event(2, "mission.claimed.v1"), progressed(1)];
    const entries = entriesOf(events.map(happening));
    expect(entries.map(({ steps }) => steps.length)).toEqual([2, 1, 1]);
  });
});
