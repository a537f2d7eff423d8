import {
  hashKey,
  keepPreviousData,
  type QueryClient,
  type QueryKey,
  queryOptions,
  useQuery,
  useQueryClient,
} from "@tanstack/react-query";
import { useEffect, useState } from "react";
import type { LiveEvent } from "@/models/events";
import { live } from "./live";

/**
 * A state with the position that it was fetched at, or that events took it to. `asOf` is when that was, for a
 * moment of the past.
 */
export type At<State> = { state: State; position: number; asOf?: string | null };

/** A read model that this page keeps up to date by itself: how it is fetched, and how events change it. */
export type LiveModel<State> = {
  key: QueryKey;
  /** The room whose events change it; null follows nothing (the past does not change). */
  room: string | null;
  fetch(signal: AbortSignal): Promise<At<State>>;
  /** Pure; returns the same state where nothing changed. */
  apply(state: State, events: readonly LiveEvent[]): State;
};

type Fetched<State> = At<State> & { fetch: number };

const PAST_KEPT_MS = 30_000;
/** So long what was shown may stand for what is asked for, without a word. */
const OVERDUE_MS = 1_000;

let fetches = 0;
const followed = new Map<string, { count: number; stop: () => void }>();

/** The query of a live model, for loaders and for reading the cache. */
export function liveOptions<State>(model: LiveModel<State>) {
  return queryOptions({
    queryKey: model.key,
    staleTime: Number.POSITIVE_INFINITY, // events keep it fresh
    meta: { past: model.room === null },
    // The browser keeps the past as well; what a scrub has passed is not held twice for long.
    ...(model.room === null ? { gcTime: PAST_KEPT_MS } : {}),
    queryFn: async ({ signal }) => fetched(await model.fetch(signal)),
  });
}

/** Puts a state that was fetched by other means where `useLive` finds it. */
export function seed<State>(client: QueryClient, model: LiveModel<State>, found: At<State>): void {
  client.setQueryData<Fetched<State>>(model.key, fetched(found));
}

function fetched<State>(found: At<State>): Fetched<State> {
  fetches += 1;
  return { ...found, fetch: fetches };
}

/**
 * Returns a live model's query; `data` is `{ state, position }`. State and position are fetched together, and
 * the room is followed from that position on, for as long as a component uses it. Nothing is asked for before it
 * `isWanted`.
 */
export function useLive<State>(model: LiveModel<State>, isWanted = true) {
  const client = useQueryClient();
  const query = useQuery({
    ...liveOptions(model),
    enabled: isWanted,
    // From one moment to the next, what was shown stays until there is something to show.
    ...(model.room === null ? { placeholderData: keepPreviousData<Fetched<State>> } : {}),
  });
  const fetch = query.data?.fetch;
  const key = hashKey(model.key);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a model is told by its key, its state by its fetch
  useEffect(() => {
    if (fetch === undefined || model.room === null) return;
    return retain(client, model, `${key}#${fetch}`);
  }, [client, key, fetch]);
  return query;
}

/**
 * Whether what a query shows is still of another moment, and has been for a while: its answer is late, or the server
 * can't be reached.
 */
export function useOverdue({
  isPlaceholderData,
  isPaused,
  failureCount,
}: {
  isPlaceholderData: boolean;
  isPaused: boolean;
  failureCount: number;
}): boolean {
  const [isLate, setLate] = useState(false);
  useEffect(() => {
    if (!isPlaceholderData) return;
    const timer = setTimeout(() => setLate(true), OVERDUE_MS);
    return () => {
      clearTimeout(timer);
      setLate(false);
    };
  }, [isPlaceholderData]);
  return isPlaceholderData && (isLate || isPaused || failureCount > 0);
}

/** Follows a model's room once, however many components use it. */
function retain<State>(client: QueryClient, model: LiveModel<State>, id: string): () => void {
  const known = followed.get(id);
  if (known) known.count += 1;
  else followed.set(id, { count: 1, stop: start(client, model) });
  return () => {
    const mine = followed.get(id);
    if (mine === undefined) return;
    mine.count -= 1;
    if (mine.count > 0) return;
    followed.delete(id);
    mine.stop();
  };
}

function start<State>(client: QueryClient, model: LiveModel<State>): () => void {
  const cached = client.getQueryData<Fetched<State>>(model.key);
  if (cached === undefined || model.room === null) return () => {};
  return live.follow(model.room, {
    position: cached.position,
    apply: (events) => {
      client.setQueryData<Fetched<State>>(model.key, (now) => {
        const last = events.at(-1);
        if (now === undefined || last === undefined) return now;
        return { ...now, state: model.apply(now.state, events), position: last.pos };
      });
    },
    reset: () => void client.invalidateQueries({ queryKey: model.key }),
  });
}
