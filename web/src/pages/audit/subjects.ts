import type { Envelope } from "./log";

type Told = Pick<Envelope, "type" | "stream_id" | "data">;
/** What something is called; undefined where that is not known here. */
export type NameOf = (id: string) => string | undefined;

const ID = /^[0-9a-f]{8}-[0-9a-f-]{27}$/;
/** Of an id, as much as tells two of one log apart: it begins with the time. */
const TAIL_CHARS = 6;
/** Ids that say where something is, on every event of it. */
const PLACES = new Set(["board_id", "column_id", "from_board_id", "from_column_id"]);

/** Returns what an event is about: of a comment its mission, of a membership the person, or else its stream. */
export function subjectOf({ type, stream_id, data }: Told): { noun: string; id: string } {
  const noun = type.split(".")[0] ?? type;
  if (noun === "comment" && isId(data.mission_id)) return { noun: "mission", id: data.mission_id };
  if (noun === "workspace" && isId(data.user_id)) return { noun: "user", id: data.user_id };
  return { noun, id: stream_id };
}

/** Returns what an event is about in words: by its name, or by the end of its id. */
export function subjectWords(event: Told, nameOf: NameOf): string {
  const { noun, id } = subjectOf(event);
  return nameOf(id) ?? `${noun} …${id.slice(-TAIL_CHARS)}`;
}

/** Returns what missions are called, as far as events tell: the newest title of each. They are given newest first. */
export function titlesIn(events: readonly Told[]): Map<string, string> {
  const titles = new Map<string, string>();
  for (const { type, stream_id, data } of events) {
    if (!type.startsWith("mission.") || titles.has(stream_id)) continue;
    const { content, card } = data as { content?: Content; card?: { content?: Content } | null };
    const title = (content ?? card?.content)?.title;
    if (typeof title === "string") titles.set(stream_id, title);
  }
  return titles;
}

type Content = { title?: unknown };

/** Returns what an event says on one line: its plain values that somebody can read, and who or what it names. */
export function summary(
  event: Told & { actor: Pick<Envelope["actor"], "id"> },
  nameOf: NameOf,
): string {
  const known = new Set([event.actor.id, subjectOf(event).id]);
  return Object.entries(event.data)
    .filter(([name, value]) => name !== "rank" && ["string", "number"].includes(typeof value))
    .flatMap(([name, value]) => {
      if (!isId(value)) return [`${name}: ${value}`];
      const called = PLACES.has(name) || known.has(value) ? undefined : nameOf(value);
      return called === undefined ? [] : [`${name.replace(/_id$/, "")}: ${called}`];
    })
    .join("  ");
}

function isId(value: unknown): value is string {
  return typeof value === "string" && ID.test(value);
}
