import {
  notifyManager,
  type QueryCache,
  type QueryClient,
  useQueryClient,
} from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback, useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import { create } from "zustand";
import { isPosition, newestOnly, readMoment } from "@/lib/timeline";

/** Between two moments that are asked for, so that a hand that moves on does not ask for all it passes. */
const GAP_MS = 60;
/** An answer that takes longer does not hold up the next. */
const PATIENCE_MS = 2_000;

/** A moment that is being scrubbed or played to, and that the address does not have yet. */
const useHeld = create<{ held: { at: string | undefined } | null }>(() => ({ held: null }));

/** The part of a page's address that names the moment it shows: a position or a time. Absent: now. */
export type MomentSearch = { at?: string | number | undefined };

/** Validates `at`; a page that can show the past has it in its search, together with `keepMoment`. */
export function momentSearch(raw: Record<string, unknown>): MomentSearch {
  const at = readMoment(raw.at);
  return at === undefined ? {} : { at: written(at) };
}

/** Takes the moment along from one page that can show the past to the next. */
export function keepMoment<Search extends MomentSearch>({
  search,
  next,
}: {
  search: Search;
  next: (search: Search) => Search;
}): Search {
  const result = next(search);
  return "at" in result || search.at === undefined ? result : { ...result, at: search.at };
}

/**
 * Returns the moment that pages show: `at` goes into queries as `as_of`, and is undefined for now. Where
 * `isPast`, whatever changes something is hidden.
 */
export function useMoment(): { at: string | undefined; isPast: boolean } {
  const { at: named } = useSearch({ strict: false }) as MomentSearch;
  const held = useHeld((state) => state.held);
  const at = held === null ? readMoment(named) : held.at;
  return { at, isPast: at !== undefined };
}

/**
 * Returns when a moment was, in milliseconds. A position's time is told by an answer that shows it; until that
 * is in, what was shown before still is, and so is its time. Undefined where no answer tells it.
 */
export function useTimeOf(at: string): number | undefined {
  const cache = useQueryClient().getQueryCache();
  const subscribe = useCallback(
    (changed: () => void) => cache.subscribe(notifyManager.batchCalls(changed)),
    [cache],
  );
  const told = useSyncExternalStore(subscribe, () => asOfOf(cache, at));
  const time = isPosition(at) ? told : Date.parse(at);
  const last = useRef(time);
  useEffect(() => {
    if (time !== undefined) last.current = time;
  }, [time]);
  return (time === undefined ? last.current : time) ?? undefined;
}

/** Returns when a position was, by any answer that shows it: undefined before there is one, null where none says so. */
function asOfOf(cache: QueryCache, at: string): number | null | undefined {
  const asked = cache.findAll({
    predicate: (query) => isOfThePast(query) && query.queryKey.at(-1) === at,
  });
  for (const { state } of asked) {
    const asOf = (state.data as { asOf?: string | null } | undefined)?.asOf;
    if (asOf) return Date.parse(asOf);
  }
  return asked.some(({ state }) => state.status !== "pending") ? null : undefined;
}

/** Returns how to go to another moment, at once or while a hand or a playback moves on. */
export function useTravel() {
  const navigate = useNavigate();
  const client = useQueryClient();
  return useMemo(() => {
    const hold = newestOnly(async (at: string | undefined) => {
      useHeld.setState({ held: { at } });
      await answered(client);
    });
    const go = async (at: string | undefined) => {
      hold.cancel();
      useHeld.setState({ held: { at } });
      await navigate({
        to: ".",
        search: (now: MomentSearch) => ({ ...now, at: at === undefined ? at : written(at) }),
        // One step of the browser's history for one journey, however long.
        replace: at !== undefined && new URLSearchParams(location.search).has("at"),
      });
      useHeld.setState(({ held }) => ({ held: held?.at === at ? null : held }));
    };
    return {
      /** Shows a moment for now; the newest one is asked for when the one before it has answered. */
      hold: hold.offer,
      /** Shows a moment, and puts it into the address. Undefined is now. */
      go,
    };
  }, [navigate, client]);
}

/** Returns a moment as the router writes it into an address: a position that is no number would get quotes. */
const written = (at: string) => (isPosition(at) ? Number(at) : at);

/** Waits until what a moment is asked for is in. */
async function answered(client: QueryClient): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, GAP_MS));
  const isIn = () => client.isFetching({ predicate: isOfThePast }) === 0;
  if (isIn()) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      ignore();
      resolve();
    };
    const timer = setTimeout(done, PATIENCE_MS);
    const ignore = client.getQueryCache().subscribe(() => {
      if (isIn()) done();
    });
  });
}

/** Whether a query shows a moment that is gone: it is asked once, and never changes. */
const isOfThePast = ({ meta }: { meta?: Record<string, unknown> | undefined }) =>
  meta?.past === true;
