import { fold, type LiveEvent } from "./events";
import type { Schemas } from "./types";

/**
 * Something that was said about a mission. `body` is null where it was removed, or its author erased; an event
 * tells neither its board nor what kind its author is of.
 */
export type Comment = Omit<Schemas["Comment"], "author_kind" | "board_id">;

/** A mission's comments, in the order in which they were made. */
export type Comments = readonly Comment[];

type Said = { body: string | null; mentions: string[] };
type Added = Said & { mission_id: string; author_id: string; parent_id: string | null };

const CHANGES = {
  "comment.edited.v1": (row: Comment, { body, mentions }: Said): Comment => ({
    ...row,
    body,
    mentions,
    edited: true,
  }),
  "comment.removed.v1": (row: Comment): Comment => ({
    ...row,
    body: null,
    mentions: [],
    removed: true,
  }),
};

/** Applies a batch of events of a mission's room; the same state comes back where none is a comment's. */
export function applyToComments(state: Comments, events: readonly LiveEvent[]): Comments {
  let comments = state;
  for (const event of events) comments = applyOne(comments, event);
  return comments;
}

function applyOne(comments: Comments, event: LiveEvent): Comments {
  if (!event.event.startsWith("comment.")) return comments;
  const id = event.payload.entityId;
  const at = comments.findIndex((comment) => comment.id === id);
  const known = comments[at];
  if (known === undefined) {
    return event.event === "comment.added.v1" ? [...comments, added(event)] : comments;
  }
  const changed = fold(CHANGES as Parameters<typeof fold<Comment>>[0], known, event);
  return changed === known ? comments : comments.with(at, changed);
}

function added(event: LiveEvent): Comment {
  const data = event.payload.data as Added;
  const { entityId: id, timestamp } = event.payload;
  return {
    id,
    version: event.v,
    mission_id: data.mission_id,
    author_id: data.author_id,
    thread_id: data.parent_id ?? id,
    parent_id: data.parent_id,
    body: data.body,
    mentions: data.mentions,
    edited: false,
    removed: false,
    created_at: timestamp,
    updated_at: timestamp,
  };
}

export type Thread = { first: Comment; replies: Comment[] };

/** Returns comments as threads, oldest first. What was removed and has no replies left is in none. */
export function threadsOf(comments: Comments): Thread[] {
  const threads = new Map<string, Thread>();
  for (const comment of comments) {
    const thread = threads.get(comment.thread_id);
    if (thread !== undefined) thread.replies.push(comment);
    else threads.set(comment.thread_id, { first: comment, replies: [] });
  }
  return [...threads.values()]
    .map(({ first, replies }) => ({ first, replies: replies.filter((one) => !one.removed) }))
    .filter(({ first, replies }) => !first.removed || replies.length > 0);
}
