import { queryOptions } from "@tanstack/react-query";
import { api, body } from "@/api/client";
import type { Page } from "@/models/types";

/** An event of a board, as the timeline steps from one to the next. */
export type Step = {
  position: number;
  type: string;
  recorded_at: string;
  actor_id: string;
  mission_title: string | null;
};

/** How many events one look at a board's activity brings, each way. */
export const STEPS = 100;

/**
 * A board's events around a position, oldest first; the newest ones where none is given. Not around a time, which
 * more events may share than one look brings.
 */
export function stepsQuery(boardId: string, around: number | undefined) {
  return queryOptions({
    queryKey: ["steps", boardId, around ?? "now"],
    queryFn: async ({ signal }) => {
      const [before, after] = await Promise.all([
        steps(boardId, { sort: "-position", upto: around }, signal),
        around === undefined ? [] : steps(boardId, { sort: "position", after: around }, signal),
      ]);
      return [...before.reverse(), ...after];
    },
    staleTime: around === undefined ? 0 : Number.POSITIVE_INFINITY,
  });
}

/** A board's first event: before it there is no board to show. */
export const firstStepQuery = (boardId: string) =>
  queryOptions({
    queryKey: ["first-step", boardId],
    queryFn: async ({ signal }) =>
      (await steps(boardId, { sort: "position", limit: 1 }, signal))[0] ?? null,
    // A board that was made just now may have none yet.
    staleTime: ({ state }) => (state.data ? Number.POSITIVE_INFINITY : 0),
  });

/** Returns a time, or the position of a board's first event where that came later. */
export function notBefore(first: Step | null, time: string): string {
  const isEarlier = first !== null && Date.parse(time) < Date.parse(first.recorded_at);
  return isEarlier ? String(first.position) : time;
}

/** Where a board's events are read from: a time, or what is behind a position. */
export type From = { since: string } | { after: number };

/** How a board's next events are read: one look from somewhere on. */
type Look = (from: From) => Promise<Step[]>;

/**
 * Returns how to read events on and on, a look at a time: each begins behind the last event of the one before, by
 * its position. By its time it would bring the same again where more have that time than a look brings.
 */
export function reader(from: From, look: Look) {
  let next = from;
  let isWhole = false;
  return {
    /** Whether all events that there are were read. */
    isWhole: () => isWhole,
    more: async (): Promise<Step[]> => {
      const found = await look(next);
      const last = found.at(-1);
      isWhole = found.length < STEPS;
      if (last !== undefined) next = { after: last.position };
      return found;
    },
  };
}

/** Returns a board's next events from a time or a position on, or those up to a position. */
export async function steps(
  boardId: string,
  {
    limit = STEPS,
    ...which
  }: {
    sort: "position" | "-position";
    since?: string;
    after?: number;
    upto?: number | undefined;
    limit?: number;
  },
  signal?: AbortSignal,
): Promise<Step[]> {
  const { upto, ...rest } = which;
  const query = { board_id: boardId, limit, ...rest, ...(upto === undefined ? {} : { upto }) };
  const asked = api.GET("/api/activity", { params: { query }, signal: signal ?? null });
  return (await body<Page<Step>>(asked)).items;
}

/** Returns the event whose effect is the last to be seen at a position, by its index; -1 before the first. */
export function indexAt(known: readonly Step[], position: number): number {
  return known.findLastIndex((step) => step.position <= position);
}

/**
 * Returns the event that a step from a position leads to; undefined where what is known does not reach that
 * far.
 */
export function neighbour(known: readonly Step[], position: number, by: 1 | -1): Step | undefined {
  const index = indexAt(known, position);
  return index < 0 && by < 0 ? undefined : known[index + by];
}
