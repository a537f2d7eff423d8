import type { LiveEvent } from "./events";
import type { Schemas, Stage } from "./types";

/** What an event says beyond whom it concerns; only what applies is set. */
export type Details = Schemas["Details"];

/** One event of a mission, as the activity API tells it. */
export type Happening = Pick<
  Schemas["Activity"],
  | "position"
  | "type"
  | "recorded_at"
  | "actor_id"
  | "agent_id"
  | "comment_id"
  | "subject_id"
  | "from_board_id"
  | "board_id"
  | "details"
>;

/** What happened to a mission, newest first; `older` is the cursor of what is not loaded. */
export type Timeline = { happenings: readonly Happening[]; older: string | null };

const NOBODY = "00000000-0000-0000-0000-000000000000";
/** What the program notes for itself: the activity leaves it out, too. */
const HOUSEKEEPING = new Set(["mission.reranked.v1"]);

/** Applies a batch of events of a mission's room. */
export function applyToTimeline(state: Timeline, events: readonly LiveEvent[]): Timeline {
  const newest = state.happenings[0]?.position ?? 0;
  const fresh = events
    .filter((event) => event.pos > newest && !HOUSEKEEPING.has(event.event))
    .map(happening)
    .reverse();
  return fresh.length === 0 ? state : { ...state, happenings: [...fresh, ...state.happenings] };
}

/** Returns an event of a room in the words of the activity API. */
export function happening({ event, pos, payload }: LiveEvent): Happening {
  const data = payload.data as Record<string, string | undefined> & {
    content?: { title: string };
    percent?: number;
    changed?: string[];
  };
  const isComment = event.startsWith("comment.");
  return {
    position: pos,
    type: event,
    recorded_at: payload.timestamp,
    actor_id: payload.userId ?? NOBODY,
    agent_id: data.agent_id ?? null,
    comment_id: isComment ? payload.entityId : null,
    subject_id: data.assignee_id ?? null,
    board_id: data.board_id ?? null,
    from_board_id: data.from_board_id === data.board_id ? null : (data.from_board_id ?? null),
    details: {
      title: data.content?.title ?? null,
      name: null,
      role: null,
      stage: (data.stage as Stage | undefined) ?? null,
      percent: data.percent ?? null,
      // A comment's text is where the comments are, and only there.
      text: isComment ? null : (data.reason ?? data.note ?? data.summary ?? null),
      changed: data.changed ?? [],
    },
  };
}

/** Steps of progress by the same agent in a row are one entry, which can be opened. */
export type Entry = { newest: Happening; steps: Happening[] };

/** Returns happenings with runs of progress put together. */
export function entriesOf(happenings: readonly Happening[]): Entry[] {
  const entries: Entry[] = [];
  for (const one of happenings) {
    const last = entries.at(-1);
    const joins =
      last !== undefined &&
      one.type === "mission.progressed.v1" &&
      last.newest.type === one.type &&
      last.newest.actor_id === one.actor_id;
    if (joins) last.steps.push(one);
    else entries.push({ newest: one, steps: [one] });
  }
  return entries;
}

/** What takes a mission to another column. */
const MOVES = new Set(
  "moved claimed released submitted approved rejected completed failed lease_expired".split(" "),
);

/** Returns the properties that some happenings changed, by their names in a mission's document. */
export function changedBy(happenings: readonly Happening[]): ReadonlySet<string> {
  const fields = new Set<string>();
  for (const { type, details } of happenings) {
    const verb = type.split(".")[1] ?? "";
    if (MOVES.has(verb)) fields.add("stage");
    else if (verb === "assigned" || verb === "unassigned") fields.add("assignees");
    else for (const field of details.changed) fields.add(field);
  }
  return fields;
}
