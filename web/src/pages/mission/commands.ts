import { create } from "zustand";
import { api } from "@/api/client";
import { problemOf } from "@/api/problem";
import { repeatable } from "@/api/repeatable";
import { type Conflict, type Edit, merge } from "@/models/merge";
import type { Mission } from "@/models/types";
import { announce, toast } from "@/ui/announce";
import { fetchMission } from "./model";

const TRIES_MAX = 3;

/** What becomes of an edit that is in question: it is saved, goes back to its field, or is given up. */
export type Decision = "save" | "write" | "discard";

/** An edit that somebody else's came before: to be decided by whoever made it. */
export type Clash = {
  theirs: Mission;
  conflicts: Conflict[];
  /** What would be saved now: one of both, or what was written from both. */
  kept: Edit;
  decide: (decision: Decision) => void;
};

/** The question that is open, and the mission that is shown: of no other one anybody is asked. */
export const useClash = create<{ clash: Clash | null; shown: string | null }>(() => ({
  clash: null,
  shown: null,
}));

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
 * stays; where both changed the same, `useClash` asks. Returns what is still to be saved, which its field has to
 * keep; null where it is saved, or given up.
 */
export async function edit(base: Mission, mine: Edit): Promise<Edit | null> {
  let [from, wanted] = [base, mine];
  for (let left = TRIES_MAX; left > 0; left -= 1) {
    try {
      await put(from, wanted);
      announce("Saved");
      return null;
    } catch (error) {
      const problem = problemOf(error);
      if (problem.status !== 412) {
        toast(problem.message, "bad");
        return mine;
      }
    }
    const theirs = await fetchMission(base.id).catch(() => null);
    if (theirs === null) break;
    const { edit: rest, conflicts } = merge(from, wanted, theirs);
    if (conflicts.length > 0) return decided(theirs, conflicts, rest);
    if (Object.keys(rest).length === 0) return null;
    [from, wanted] = [theirs, rest];
  }
  toast("Somebody else changes this mission right now. Try again in a moment.", "bad");
  return mine;
}

/** Asks what becomes of an edit, and does it. Returns what is still to be saved. */
async function decided(theirs: Mission, conflicts: Conflict[], rest: Edit): Promise<Edit | null> {
  const mine = Object.fromEntries(conflicts.map((each) => [each.field, each.mine]));
  const { decision, kept } = await ask({ theirs, conflicts, kept: { ...rest, ...mine } });
  if (decision === "discard") return null;
  if (decision === "save") {
    const { edit: changed } = merge(theirs, kept, theirs);
    return Object.keys(changed).length === 0 ? null : edit(theirs, changed);
  }
  if (useClash.getState().shown !== theirs.id)
    toast(`“${theirs.title}” is not saved: somebody else changed the same.`, "bad");
  // Of what was about to be chosen, only what they wrote themselves goes back.
  const written = Object.entries(kept).filter(
    ([key, value]) => value !== theirs[key as keyof Edit],
  );
  return { ...rest, ...mine, ...Object.fromEntries(written) };
}

function ask(question: Omit<Clash, "decide">): Promise<{ decision: Decision; kept: Edit }> {
  const { clash, shown } = useClash.getState();
  if (shown !== question.theirs.id)
    return Promise.resolve({ decision: "write", kept: question.kept });
  clash?.decide("write"); // One at a time: the other edit is asked about when it is saved again.
  return new Promise((resolve) => {
    const decide = (decision: Decision) => {
      const kept = useClash.getState().clash?.kept ?? question.kept;
      useClash.setState({ clash: null });
      resolve({ decision, kept });
    };
    useClash.setState({ clash: { ...question, decide } });
  });
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

/** Not of a field: what is in it is kept, and sent again, when somebody comes back to it. */
const commentOnce = repeatable();

export const comment = (
  missionId: string,
  text: string,
  mentions: string[],
  parent: string | null,
) => {
  const body = { body: text, mentions, ...(parent === null ? {} : { parent_id: parent }) };
  const sent = commentOnce([missionId, body], (headers) =>
    api.POST("/api/missions/{mission_id}/comments", {
      params: { path: { mission_id: missionId } },
      headers,
      body,
    }),
  );
  return say(sent, "Comment added");
};

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

/** Removes a comment for good. A refusal is thrown: whoever asked before it says why. */
export async function removeComment(id: string): Promise<void> {
  await api.DELETE("/api/comments/{comment_id}", { params: { path: { comment_id: id } } });
  announce("Comment removed");
}
