import { type QueryClient, queryOptions } from "@tanstack/react-query";
import type { LiveModel } from "@/live/query";
import { ACTIVITY_DAYS, type ActivityItem } from "@/models/activity";
import { applyToWork, type Work, workOf } from "@/models/fleet";
import type { Schemas } from "@/models/types";
import { api, body } from "./client";
import { everyPage } from "./queries";

const LIST_LIMIT = 200;
const HEARTBEATS_MS = 10_000;
const REFRESH_MS = 30_000;
const DAY_MS = 86_400_000;
const ACTIVITY_PAGES_MAX = 10;

export const SCOPES = [
  "missions:read",
  "missions:work",
  "comments:write",
  "missions:create",
] as const;
export type Scope = (typeof SCOPES)[number];
export type AgentKey = Schemas["AgentKey"];

/** What agents have in hand, live. */
export const workModel: LiveModel<Work> = {
  key: ["work"],
  room: "workspace",
  fetch: async (signal) => {
    const { items, position } = await everyPage((cursor) =>
      api.GET("/api/missions", {
        params: { query: { stage: "active", limit: LIST_LIMIT, ...(cursor ? { cursor } : {}) } },
        signal,
      }),
    );
    return { state: workOf(items), position };
  },
  apply: applyToWork,
};

/** When each agent that is there was last heard of: telemetry, so it is asked for again. */
export const heartbeatsQuery = queryOptions({
  queryKey: ["heartbeats"],
  queryFn: async ({ signal }) => {
    const { items } = await everyPage((cursor) =>
      api.GET("/api/presence", {
        params: { query: { limit: LIST_LIMIT, ...(cursor ? { cursor } : {}) } },
        signal,
      }),
    );
    return new Map(items.map(({ id, seen_at }) => [id, seen_at]));
  },
  refetchInterval: HEARTBEATS_MS,
});

// Heartbeats are told of by lists alone.
const readAgent = async (agentId: string, minPosition: number | null, signal?: AbortSignal) => ({
  seen_at: null,
  mission_id: null,
  ...(await body(
    api.GET("/api/agents/{agent_id}", {
      params: {
        path: { agent_id: agentId },
        query: minPosition === null ? {} : { min_position: minPosition },
      },
      ...(signal === undefined ? {} : { signal }),
    }),
  )),
});

/** One agent with its keys. */
export const agentQuery = (agentId: string) =>
  queryOptions({
    queryKey: ["agent", agentId],
    queryFn: ({ signal }) => readAgent(agentId, null, signal),
  });

/** Shows an agent as a command left it: the events of keys are told to nobody. */
export async function refreshAgent(
  client: QueryClient,
  agentId: string,
  position: number,
): Promise<void> {
  const { queryKey } = agentQuery(agentId);
  await client.cancelQueries({ queryKey, exact: true });
  client.setQueryData(queryKey, await readAgent(agentId, position));
}

/** What an agent holds, and until when: leases are renewed without an event. */
export const holdingsQuery = (agentId: string) =>
  queryOptions({
    queryKey: ["agent", agentId, "status"],
    queryFn: ({ signal }) =>
      body(
        api.GET("/api/agents/{agent_id}/status", {
          params: { path: { agent_id: agentId } },
          signal,
        }),
      ),
    refetchInterval: HEARTBEATS_MS,
  });

/** What an agent did in the last 30 days. */
export const metricsQuery = (agentId: string) =>
  queryOptions({
    queryKey: ["agent", agentId, "metrics"],
    queryFn: ({ signal }) =>
      body(
        api.GET("/api/agents/{agent_id}/metrics", {
          params: { path: { agent_id: agentId } },
          signal,
        }),
      ),
    refetchInterval: REFRESH_MS,
  });

/** An agent's events of the last two weeks, newest first; `isWhole` where there were not too many. */
export const activityQuery = (agentId: string) =>
  queryOptions({
    queryKey: ["agent", agentId, "activity"],
    queryFn: async ({ signal }) => {
      const since = new Date(Date.now() - ACTIVITY_DAYS * DAY_MS).toISOString();
      const items: ActivityItem[] = [];
      let cursor: string | null = null;
      for (let page = 0; page < ACTIVITY_PAGES_MAX && (page === 0 || cursor !== null); page += 1) {
        const query = {
          agent_id: agentId,
          since,
          limit: LIST_LIMIT,
          ...(cursor === null ? {} : { cursor }),
        };
        const found: Schemas["ActivityPage"] = await body(
          api.GET("/api/activity", { params: { query }, signal }),
        );
        items.push(...found.items);
        cursor = found.next_cursor;
      }
      return { items, isWhole: cursor === null };
    },
    refetchInterval: REFRESH_MS,
  });

/** A mission's title, where only its id was heard of. */
export const titleQuery = (missionId: string) =>
  queryOptions({
    queryKey: ["mission-title", missionId],
    queryFn: async ({ signal }) =>
      (
        await body(
          api.GET("/api/missions/{mission_id}", {
            params: { path: { mission_id: missionId } },
            signal,
          }),
        )
      ).title,
    staleTime: Number.POSITIVE_INFINITY,
  });
