import type { LiveEvent } from "./events";
import type { Schemas } from "./types";

/** One thing that waits for whoever is signed in. */
export type InboxItem = Schemas["InboxItem"];

/** What waits, newest first; `isStale` once events came that change it in ways only the server knows. */
export type Inbox = { items: readonly InboxItem[]; isStale: boolean };

/** What brings something in or takes it out, whatever else it says. */
const CONCERNING = new Set([
  "comment.added.v1",
  "comment.edited.v1",
  "comment.removed.v1",
  "mission.submitted.v1",
  "mission.approved.v1",
  "mission.rejected.v1",
  "mission.failed.v1",
  "mission.blocked.v1",
  "mission.lease_expired.v1",
  "mission.deleted.v1",
]);

/** Notes that the inbox may have changed: a comment that mentions nobody does not. */
export function applyToInbox(state: Inbox, events: readonly LiveEvent[]): Inbox {
  if (state.isStale || !events.some((event) => concerns(event, state.items))) return state;
  return { ...state, isStale: true };
}

function concerns({ event, payload }: LiveEvent, items: readonly InboxItem[]): boolean {
  if (event === "comment.added.v1") return (payload.data.mentions as string[]).length > 0;
  if (CONCERNING.has(event) || payload.data.stage === "review") return true;
  // A card that leaves review, by whatever way, waits for nobody any more.
  const isUnderReview = ({ kind, mission_id }: InboxItem) =>
    kind === "review" && mission_id === payload.entityId;
  return payload.data.stage !== undefined && items.some(isUnderReview);
}

/** A key by which an item is told from every other. */
export const keyOf = ({ kind, id, position }: InboxItem) => `${kind}:${id}:${position}`;

/** Returns how many came after what was seen last; what is read one by one is in `read`. */
export function unreadOf(
  items: readonly InboxItem[],
  seen: number,
  read: ReadonlySet<number>,
): InboxItem[] {
  return items.filter(({ position }) => position > seen && !read.has(position));
}
