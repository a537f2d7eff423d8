import { describe, expect, it } from "vitest";
import { applyToComments, type Comments, threadsOf } from "./comments";
import type { LiveEvent } from "./events";

function said(id: string, pos: number, parent: string | null = null): LiveEvent {
  return {
    pos,
    prev: pos - 1,
    v: 1,
    event: "comment.added.v1",
    payload: {
      entityId: id,
      data: {
        mission_id: "m",
        author_id: "a",
        body: `I am ${id}`,
        parent_id: parent,
        mentions: [],
      },
      timestamp: "2026-03-01T09:00:00Z",
      userId: "a",
    },
  };
}

function removed(id: string, pos: number): LiveEvent {
  return { ...said(id, pos), v: 2, event: "comment.removed.v1" };
}

const three: Comments = applyToComments([], [said("one", 1), said("two", 2), said("re", 3, "one")]);

describe("comments", () => {
  it("stand in threads, replies behind their first", () => {
    const threads = threadsOf(three).map(({ first, replies }) => [
      first.id,
      replies.map((r) => r.id),
    ]);
    expect(threads).toEqual([
      ["one", ["re"]],
      ["two", []],
    ]);
  });

  it("are the same object where nothing changed", () => {
    expect(applyToComments(three, [said("one", 1)])).toBe(three);
    expect(applyToComments(three, [{ ...said("x", 4), event: "mission.claimed.v1" }])).toBe(three);
  });

  it("leave a tombstone only where replies stand below it", () => {
    const left = threadsOf(applyToComments(three, [removed("one", 4), removed("two", 5)]));
    expect(left.map(({ first }) => [first.id, first.body])).toEqual([["one", null]]);
    expect(threadsOf(applyToComments(three, [removed("one", 4), removed("re", 5)]))).toHaveLength(
      1,
    );
  });
});
