import { queryOptions, useQuery } from "@tanstack/react-query";
import { useMemo, useRef } from "react";
import { type At, type LiveModel, seed, useLive } from "@/live/query";
import { type Agents, agentsOf, applyToAgents } from "@/models/agents";
import { applyToBoard, type BoardDocument, type BoardState, boardOf } from "@/models/board";
import { applyToMembers, type Members } from "@/models/members";
import type { Page, Permission } from "@/models/types";
import { api, body } from "./client";

const LIST_LIMIT = 200;

/** Who is signed in. */
export const meQuery = queryOptions({
  queryKey: ["me"],
  queryFn: ({ signal }) => body(api.GET("/api/members/me", { signal })),
  staleTime: 60_000,
});

/** The workspace's boards, the default one among them. */
export const boardsQuery = queryOptions({
  queryKey: ["boards"],
  queryFn: async ({ signal }) =>
    (await body(api.GET("/api/boards", { params: { query: { limit: LIST_LIMIT } }, signal })))
      .items,
  staleTime: 60_000,
});

/** A board, live; the workspace's own where none is named. With `asOf` it is a moment of the past, and still. */
export function boardModel(boardId: string, asOf?: string): LiveModel<BoardState> {
  return {
    key: asOf === undefined ? ["board", boardId] : ["board", boardId, asOf],
    room: asOf === undefined ? `board:${boardId}` : null,
    fetch: async (signal) => {
      const query = { board_id: boardId, ...(asOf === undefined ? {} : { as_of: asOf }) };
      return atOf(await body(api.GET("/api/missions/board", { params: { query }, signal })));
    },
    apply: applyToBoard,
  };
}

/** The id of the workspace's own board, which comes with the board itself. */
export const ownBoardQuery = queryOptions({
  queryKey: ["own board"],
  queryFn: async ({ client, signal }) => {
    const document = await body(api.GET("/api/missions/board", { signal }));
    seed(client, boardModel(document.id), atOf(document));
    return document.id;
  },
  staleTime: Number.POSITIVE_INFINITY, // a workspace keeps it for life
});

function atOf(document: BoardDocument): At<BoardState> {
  return { state: boardOf(document), position: document.position, asOf: document.as_of ?? null };
}

/** The fleet, live. Retired agents are in it, as old missions name them. */
export const agentsModel: LiveModel<Agents> = {
  key: ["agents"],
  room: "workspace",
  fetch: async (signal) => {
    const { items, position } = await everyPage((cursor) =>
      api.GET("/api/agents", {
        params: { query: { limit: LIST_LIMIT, ...(cursor ? { cursor } : {}) } },
        signal,
      }),
    );
    return { state: agentsOf(items), position };
  },
  apply: applyToAgents,
};

/** The fleet: live, or with `asOf` as it was at a moment, and still. Heartbeats have no past. */
export function fleetModel(asOf?: string): LiveModel<Agents> {
  if (asOf === undefined) return agentsModel;
  return {
    key: ["agents", asOf],
    room: null,
    fetch: async (signal) => {
      const params = { query: { as_of: asOf } };
      const found = await body(api.GET("/api/agents", { params, signal }));
      return { state: agentsOf(found.items), position: found.position, asOf: found.as_of ?? null };
    },
    apply: applyToAgents,
  };
}

/** The people of the workspace, live. */
export const membersModel: LiveModel<Members> = {
  key: ["members"],
  room: "workspace",
  fetch: async (signal) => {
    const { items, position } = await everyPage((cursor) =>
      api.GET("/api/members", {
        params: { query: { limit: LIST_LIMIT, ...(cursor ? { cursor } : {}) } },
        signal,
      }),
    );
    return { state: new Map(items.map((member) => [member.id, member])), position };
  },
  apply: applyToMembers,
};

/** Reads a list to its end; the position is the first page's, so that events repeat and never miss. */
export async function everyPage<Item>(
  ask: (cursor: string | null) => Promise<{ data?: Page<Item> }>,
): Promise<Page<Item>> {
  const first = await body(ask(null));
  const items = [...first.items];
  for (let cursor = first.next_cursor; cursor !== null; ) {
    const page = await body(ask(cursor));
    items.push(...page.items);
    cursor = page.next_cursor;
  }
  return { ...first, items, next_cursor: null };
}

/** Whether the person who is signed in may do something: what to show, never what is safe. */
export function useMay(permission: Permission): boolean {
  const { data } = useQuery(meQuery);
  return data?.permissions.includes(permission) ?? false;
}

export type Someone = { id: string; name: string; kind: "person" | "agent" | "unknown" };

/**
 * Returns who is meant by an id: a person or an agent. The function stays the same while all are called the same: what
 * shows names is not drawn anew for every sign of life of an agent.
 */
export function useDirectory(): (id: string) => Someone {
  const agents = useLive(agentsModel).data?.state;
  const members = useLive(membersModel).data?.state;
  const before = useRef<Directory>(new Map());
  const directory = useMemo(() => {
    const now = directoryOf(agents, members);
    if (!isSameDirectory(before.current, now)) before.current = now;
    return before.current;
  }, [agents, members]);
  return useMemo(
    () => (id) => directory.get(id) ?? { id, name: "Somebody", kind: "unknown" },
    [directory],
  );
}

type Directory = ReadonlyMap<string, Someone>;

function directoryOf(agents: Agents | undefined, members: Members | undefined): Directory {
  const directory = new Map<string, Someone>();
  for (const [id, { name }] of members ?? []) {
    directory.set(id, { id, name: name ?? "Former member", kind: "person" });
  }
  for (const [id, { name }] of agents ?? []) directory.set(id, { id, name, kind: "agent" });
  return directory;
}

function isSameDirectory(one: Directory, other: Directory): boolean {
  return (
    one.size === other.size && [...one].every(([id, { name }]) => other.get(id)?.name === name)
  );
}
