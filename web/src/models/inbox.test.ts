import { describe, expect, it } from "vitest";
import type { LiveEvent } from "./events";
import { applyToInbox, type InboxItem, unreadOf } from "./inbox";

const event = (type: string, data: Record<string, unknown> = {}, entityId = "m") =>
  ({ pos: 1, event: type, payload: { entityId, data } }) as unknown as LiveEvent;
const fresh = { items: [], isStale: false };
const item = (position: number) => ({ position }) as InboxItem;

describe("inbox", () => {
  it("is asked for again when something may wait", () => {
    expect(applyToInbox(fresh, [event("mission.submitted.v1")]).isStale).toBe(true);
    expect(applyToInbox(fresh, [event("comment.added.v1", { mentions: ["me"] })]).isStale).toBe(
      true,
    );
  });

  it("is asked for again when a card comes into review, or one of its own leaves it", () => {
    const moved = (stage: string, id = "m") => [event("mission.moved.v1", { stage }, id)];
    const review = { kind: "review", mission_id: "m" } as InboxItem;
    const waiting = { items: [review], isStale: false };
    expect(applyToInbox(fresh, moved("review")).isStale).toBe(true);
    expect(applyToInbox(waiting, moved("ready")).isStale).toBe(true);
    expect(applyToInbox(waiting, moved("ready", "other"))).toBe(waiting);
    expect(applyToInbox(fresh, moved("ready"))).toBe(fresh);
  });

  it("is not, by what concerns nobody", () => {
    const quiet = [event("mission.progressed.v1"), event("comment.added.v1", { mentions: [] })];
    expect(applyToInbox(fresh, quiet)).toBe(fresh);
  });

  it("counts what is newer than what was seen, but for what was read", () => {
    const items = [item(5), item(4), item(3)];
    expect(unreadOf(items, 3, new Set([5])).map(({ position }) => position)).toEqual([4]);
  });
});
