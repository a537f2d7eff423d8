import type { LiveEvent } from "./events";
import type { Member, Role } from "./types";

/** The people of a workspace by id. */
export type Members = ReadonlyMap<string, Member>;

/**
 * Applies a batch of events, in order. Rows come from two streams, the workspace's and the person's own, so
 * each event sets what it tells, and repeating it changes nothing.
 */
export function applyToMembers(state: Members, events: readonly LiveEvent[]): Members {
  let members: Map<string, Member> | null = null;
  for (const event of events) {
    const change = changeOf(event);
    if (change === null) continue;
    members ??= new Map(state);
    const known = members.get(change.id) ?? joining(change.id, event);
    members.set(change.id, { ...known, ...change });
  }
  return members ?? state;
}

function changeOf({ event, payload }: LiveEvent): (Partial<Member> & { id: string }) | null {
  const data = payload.data as { user_id: string; role: Role; name: string | null };
  switch (event) {
    case "workspace.member_added.v1":
      return { id: data.user_id, role: data.role, removed: false };
    case "workspace.role_changed.v1":
      return { id: data.user_id, role: data.role };
    case "workspace.member_removed.v1":
      return { id: data.user_id, removed: true };
    case "user.registered.v1":
    case "user.profile_changed.v1":
      return { id: payload.entityId, name: data.name };
    case "user.disabled.v1":
      return { id: payload.entityId, disabled: true };
    default:
      return null;
  }
}

function joining(id: string, event: LiveEvent): Member {
  return {
    id,
    name: null,
    role: "viewer",
    disabled: false,
    removed: false,
    joined_at: event.payload.timestamp,
  };
}
