import { create } from "zustand";
import { api } from "@/api/client";
import { problemOf } from "@/api/problem";
import { type Conflict, type Edit, merge } from "@/models/merge";
import type { Mission } from "@/models/types";
import { announce, toast } from "@/ui/announce";
import { fetchMission } from "./model";

const TRIES_MAX = 3;

/** An edit that somebody else's came before: to be decided by whoever made it. */
export type Clash = { mission: Mission; theirs: Mission; conflicts: Conflict[]; rest: Edit };

export const useClash = create<{ clash: Clash | null }>(() => ({ clash: null }));

const path = (mission: { id: string }) => ({ path: { mission_id: mission.id } });

/** Sends a command; a refusal is said in words. Returns whether it was accepted. */
async function say(what: Promise<unknown>, done?: string): Promise<boolean> {
  try {
    await what;
    if (done !== undefined) announce(done);
    return true;
  } catch (error) {
    toast(problemOf(error).message, "bad");
    return false;
  }
}

/**
 * Changes what is written about a mission, as far as nobody else did since `base`. What others wrote elsewhere
 * stays; where both changed the same, `useClash` asks. Returns whether the edit is done or in question: then
 * its field may close.
 */
export async function edit(base: Mission, mine: Edit): Promise<boolean> {
  let [from, wanted] = [base, mine];
  for (let left = TRIES_MAX; left > 0; left -= 1) {
    try {
      await put(from, wanted);
      announce("Saved");
      return true;
    } catch (error) {
      const problem = problemOf(error);
      if (problem.status !== 412) {
        toast(problem.message, "bad");
        return false;
      }
    }
    const theirs = await fetchMission(base.id).catch(() => null);
    if (theirs === null) break;
    const { edit: rest, conflicts } = merge(from, wanted, theirs);
    if (conflicts.length > 0) {
      useClash.setState({ clash: { mission: base, theirs, conflicts, rest } });
      return true;
    }
    if (Object.keys(rest).length === 0) return true;
    [from, wanted] = [theirs, rest];
  }
  toast("Somebody else changes this mission right now. Try again in a moment.", "bad");
  return false;
}

function put(from: Mission, wanted: Edit) {
  return api.PUT("/api/missions/{mission_id}", {
    params: path(from),
    headers: { "if-match": `"${from.version}"` },
    body: wanted,
  });
}

export const assign = (mission: Mission, assignee: string) =>
  say(
    api.POST("/api/missions/{mission_id}/assign", {
      params: path(mission),
      body: { assignee_id: assignee },
    }),
  );

export const unassign = (mission: Mission, assignee: string) =>
  say(
    api.POST("/api/missions/{mission_id}/unassign", {
      params: path(mission),
      body: { assignee_id: assignee },
    }),
  );

/** Moves a mission to the end of a column; out of its column a lease ends. */
export const moveTo = (mission: Mission, column: { id: string; name: string }) =>
  say(
    api.PUT("/api/missions/{mission_id}/move", {
      params: path(mission),
      body: { column_id: column.id },
    }),
    `Moved to ${column.name}`,
  );

export const block = (mission: Mission, reason: string) =>
  say(
    api.POST("/api/missions/{mission_id}/block", { params: path(mission), body: { reason } }),
    "Blocked",
  );

export const unblock = (mission: Mission) =>
  say(api.POST("/api/missions/{mission_id}/unblock", { params: path(mission) }), "Unblocked");

export const approve = (mission: Mission) =>
  say(api.POST("/api/missions/{mission_id}/approve", { params: path(mission) }), "Approved");

export const reject = (mission: Mission, reason: string) =>
  say(
    api.POST("/api/missions/{mission_id}/reject", { params: path(mission), body: { reason } }),
    "Sent back",
  );

export const cancel = (mission: Mission) =>
  say(api.DELETE("/api/missions/{mission_id}", { params: path(mission) }), "Mission cancelled");

export const addDependency = (mission: Mission, on: string) =>
  say(
    api.POST("/api/missions/{mission_id}/dependencies", {
      params: path(mission),
      body: { depends_on_id: on },
    }),
  );

export const removeDependency = (mission: Mission, on: string) =>
  say(
    api.DELETE("/api/missions/{mission_id}/dependencies/{depends_on_id}", {
      params: { path: { mission_id: mission.id, depends_on_id: on } },
    }),
  );

export const comment = (
  missionId: string,
  text: string,
  mentions: string[],
  parent: string | null,
) =>
  say(
    api.POST("/api/missions/{mission_id}/comments", {
      params: { path: { mission_id: missionId } },
      body: { body: text, mentions, ...(parent === null ? {} : { parent_id: parent }) },
    }),
    "Comment added",
  );

export const editComment = (
  one: { id: string; version: number },
  text: string,
  mentions: string[],
) =>
  say(
    api.PUT("/api/comments/{comment_id}", {
      params: { path: { comment_id: one.id } },
      headers: { "if-match": `"${one.version}"` },
      body: { body: text, mentions },
    }),
    "Saved",
  );

export const removeComment = (id: string) =>
  say(
    api.DELETE("/api/comments/{comment_id}", { params: { path: { comment_id: id } } }),
    "Comment removed",
  );
