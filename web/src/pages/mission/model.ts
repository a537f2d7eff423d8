import { queryOptions } from "@tanstack/react-query";
import { api, body } from "@/api/client";
import { everyPage } from "@/api/queries";
import type { LiveModel } from "@/live/query";
import { applyToComments, type Comments } from "@/models/comments";
import type { LiveEvent } from "@/models/events";
import { applyToMission, type MissionState } from "@/models/missions";
import { applyToTimeline, type Happening, type Timeline } from "@/models/timeline";
import type { Page, Schemas } from "@/models/types";

const PAGE = 200;

/** A mission's document; `as_of` is the time of the moment that was asked for. */
export type MissionDocument = Schemas["MissionDocument"];

const room = (missionId: string) => `mission:${missionId}`;

/** One mission, live; with `asOf` as it was at a moment, and still. */
export function missionModel(missionId: string, asOf?: string): LiveModel<MissionState> {
  return {
    key: asOf === undefined ? ["mission", missionId] : ["mission", missionId, asOf],
    room: asOf === undefined ? room(missionId) : null,
    fetch: async (signal) => {
      const found = await fetchMission(missionId, signal, asOf);
      return { state: found, position: found.position };
    },
    apply: (state, events) => events.reduce<MissionState>(applyToMission, state),
  };
}

/** Fetches a mission as it is now, or was at a moment. */
export function fetchMission(
  missionId: string,
  signal?: AbortSignal,
  asOf?: string,
): Promise<MissionDocument> {
  return body(
    api.GET("/api/missions/{mission_id}", {
      params: {
        path: { mission_id: missionId },
        query: asOf === undefined ? {} : { as_of: asOf },
      },
      ...(signal === undefined ? {} : { signal }),
    }),
  );
}

/**
 * The title of a mission that is on another board, or gone: its newest event tells it, where a look at the
 * mission itself would fail.
 */
export const otherMissionQuery = (missionId: string) =>
  queryOptions({
    queryKey: ["mission-title", missionId],
    queryFn: async ({ signal }) => {
      const query = { mission_id: missionId, limit: 1 };
      const page = await body(api.GET("/api/activity", { params: { query }, signal }));
      const [newest] = page.items;
      const isGone = newest === undefined || newest.type === "mission.deleted.v1";
      return { title: newest?.mission_title ?? "A mission", isGone };
    },
    staleTime: 30_000,
  });

/** What was said about a mission, live. */
export function commentsModel(missionId: string): LiveModel<Comments> {
  return {
    key: ["comments", missionId],
    room: room(missionId),
    fetch: async (signal) => {
      const { items, position } = await everyPage((cursor) =>
        api.GET("/api/missions/{mission_id}/comments", {
          params: {
            path: { mission_id: missionId },
            query: { limit: PAGE, ...(cursor ? { cursor } : {}) },
          },
          signal,
        }),
      );
      return { state: items, position };
    },
    apply: applyToComments,
  };
}

/** What happened to a mission, live, newest first. */
export function timelineModel(missionId: string): LiveModel<Timeline> {
  return {
    key: ["timeline", missionId],
    room: room(missionId),
    fetch: async (signal) => {
      const page = await fetchHappenings(missionId, null, signal);
      const state = { happenings: page.items, older: page.next_cursor };
      return { state, position: page.position };
    },
    apply: (state: Timeline, events: readonly LiveEvent[]) => applyToTimeline(state, events),
  };
}

/** Fetches a page of what happened to a mission. */
export function fetchHappenings(
  missionId: string,
  cursor: string | null,
  signal?: AbortSignal,
): Promise<Page<Happening>> {
  return body(
    api.GET("/api/activity", {
      params: {
        query: { mission_id: missionId, limit: PAGE, ...(cursor === null ? {} : { cursor }) },
      },
      ...(signal === undefined ? {} : { signal }),
    }),
  );
}
