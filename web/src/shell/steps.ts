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

/** A board's events around a time, oldest first; the newest ones where no time is given. */
export function stepsQuery(boardId: string, around: string | undefined) {
  return queryOptions({
    queryKey: ["steps", boardId, around ?? "now"],
    queryFn: async ({ signal }) => {
      const [before, after] = await Promise.all([
        steps(boardId, { sort: "-position", until: around }, signal),
        around === undefined ? [] : steps(boardId, { sort: "position", since: around }, signal),
      ]);
      return sorted([...before, ...after]);
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

/** Returns a board's next events from a time on, oldest first. */
export async function steps(
  boardId: string,
  {
    sort,
    since,
    until,
    limit = STEPS,
  }: { sort: string; since?: string | undefined; until?: string | undefined; limit?: number },
  signal?: AbortSignal,
): Promise<Step[]> {
  const query = {
    board_id: boardId,
    limit,
    sort,
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
  };
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

function sorted(found: Step[]): Step[] {
  const distinct = new Map(found.map((step) => [step.position, step]));
  return [...distinct.values()].sort((a, b) => a.position - b.position);
}
