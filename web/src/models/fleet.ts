import { compare } from "@/lib/text";
import { fold, type LiveEvent, type Table } from "./events";
import { type Agent, type Card, FLEET_STATES, type FleetState } from "./types";

/** Returns an agent's state: a lifecycle that keeps it from working is told before its presence. */
export function stateOf({ lifecycle, presence }: Agent): FleetState {
  return lifecycle === "active" ? presence : lifecycle;
}

export type FleetFilter = {
  q?: string | undefined;
  state?: FleetState | undefined;
  capability?: string | undefined;
};

/**
 * Returns the agents that a filter lets through, by state and name. The retired are shown only to who asks
 * for them.
 */
export function byState(
  agents: Iterable<Agent>,
  { q, state, capability }: FleetFilter,
): [FleetState, Agent[]][] {
  const words = (q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const groups = new Map<FleetState, Agent[]>();
  for (const agent of agents) {
    const own = stateOf(agent);
    if (state === undefined ? own === "retired" : own !== state) continue;
    if (capability !== undefined && !agent.capabilities.includes(capability)) continue;
    const text = [agent.name, agent.role, ...agent.capabilities].join(" ").toLowerCase();
    if (!words.every((word) => text.includes(word))) continue;
    groups.set(own, [...(groups.get(own) ?? []), agent]);
  }
  return FLEET_STATES.flatMap((each) => {
    const found = groups.get(each);
    if (found === undefined) return [];
    found.sort(
      (a, b) => compare(a.name.toLowerCase(), b.name.toLowerCase()) || compare(a.id, b.id),
    );
    return [[each, found] as [FleetState, Agent[]]];
  });
}

/** A mission that an agent has. Its title is null where only the claim was heard of. */
export type InHand = Pick<Card, "id" | "progress_percent"> & { title: string | null };

/** The same with what events need to know of it. */
export type Held = InHand & Pick<Card, "version" | "holder" | "progress_note" | "updated_at">;

/** What is worked on, by mission. */
export type Work = ReadonlyMap<string, Held>;

/** Returns missions of a list as what is worked on. */
export function workOf(cards: readonly Card[]): Work {
  return new Map(cards.filter(({ holder }) => holder !== null).map((card) => [card.id, card]));
}

/** Applies a batch of events, in order; the same state comes back where none of them changes it. */
export function applyToWork(state: Work, events: readonly LiveEvent[]): Work {
  let work: Map<string, Held> | null = null;
  for (const event of events) {
    if (!event.event.startsWith("mission.")) continue;
    const { entityId } = event.payload;
    const known = (work ?? state).get(entityId);
    const before =
      known ?? (event.event === "mission.claimed.v1" ? unknownMission(event) : undefined);
    if (before === undefined) continue;
    const after = fold(HELD, before, event);
    if (after === known) continue;
    work ??= new Map(state);
    if (after.holder === null) work.delete(entityId);
    else work.set(entityId, after);
  }
  return work ?? state;
}

const free = (held: Held): Held => ({ ...held, holder: null });

const HELD: Table<Held> = {
  "mission.edited.v1": (held, { content }) => ({ ...held, title: content.title }),
  "mission.claimed.v1": (held, { agent_id }) => ({
    ...held,
    holder: agent_id,
    progress_percent: 0,
    progress_note: null,
  }),
  "mission.progressed.v1": (held, { percent, note }) => ({
    ...held,
    progress_percent: percent,
    progress_note: note,
  }),
  "mission.moved.v1": (held, { column_id, from_column_id }) =>
    column_id === from_column_id ? held : free(held),
  "mission.lease_expired.v1": free,
  "mission.released.v1": free,
  "mission.submitted.v1": free,
  "mission.failed.v1": free,
  "mission.deleted.v1": free,
};

function unknownMission(event: LiveEvent): Held {
  return {
    id: event.payload.entityId,
    version: event.v - 1,
    title: null,
    holder: null,
    progress_percent: 0,
    progress_note: null,
    updated_at: event.payload.timestamp,
  };
}

/** Returns what an agent has in hand; what it began last first. */
export function heldBy(work: Work | undefined, agentId: string): Held[] {
  return [...(work?.values() ?? [])]
    .filter(({ holder }) => holder === agentId)
    .sort((a, b) => compare(b.updated_at, a.updated_at));
}
