import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, body } from "@/api/client";
import type { Schemas } from "@/models/types";
import type { SearchAddress } from "./address";

/** Something that was found; `title` is its mission's, `highlights` is by field. */
export type Hit = Schemas["SearchHit"];

/** How many of everything that was found have a value, most frequent first. */
export type Facets = Record<
  "type" | "priority" | "stage" | "label" | "board",
  Record<string, number>
>;

type Answer = { items: Hit[]; facets: Facets; next_cursor: string | null; position: number };

const PAGE_ITEMS = 50;
const FRESH_MS = 15_000;
/** The server looks for words: without a letter or a digit there is none. */
const WORD = /[\p{L}\p{N}]/u;

export const isSearchable = (q: string | undefined): q is string => q !== undefined && WORD.test(q);

/** What is found at an address, a page at a time. */
export function resultsQuery(address: SearchAddress) {
  return infiniteQueryOptions({
    queryKey: ["search", address],
    queryFn: ({ signal, pageParam }) => ask(address, PAGE_ITEMS, signal, pageParam),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next_cursor,
    enabled: isSearchable(address.q),
    placeholderData: keepPreviousData,
    staleTime: FRESH_MS,
  });
}

/** The first few of what is found, for the palette. */
export function someQuery(q: string, limit: number) {
  return queryOptions({
    queryKey: ["search-some", q, limit],
    queryFn: ({ signal }) => ask({ q }, limit, signal, null),
    enabled: isSearchable(q),
    placeholderData: keepPreviousData,
    staleTime: FRESH_MS,
  });
}

/** How many there would be of each value of a facet, if nothing of that facet were chosen. */
export function facetsQuery(address: SearchAddress) {
  return queryOptions({
    queryKey: ["search-facets", address],
    queryFn: async ({ signal }) => (await ask(address, 1, signal, null)).facets,
    enabled: isSearchable(address.q),
    placeholderData: keepPreviousData,
    staleTime: FRESH_MS,
  });
}

function ask(
  address: SearchAddress,
  limit: number,
  signal: AbortSignal,
  cursor: string | null,
): Promise<Answer> {
  const { q = "", type, priority, stage, label, board, agent } = address;
  const query = {
    q,
    limit,
    ...(type && { type: type.join(",") }),
    ...(priority && { priority: priority.join(",") }),
    ...(stage && { stage: stage.join(",") }),
    ...(label && { label }),
    ...(board && { board_id: board }),
    ...(agent && { agent_id: agent }),
    ...(cursor && { cursor }),
  };
  return body<Answer>(api.GET("/api/search", { params: { query }, signal }));
}
