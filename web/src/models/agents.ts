import { type Data, fold, type LiveEvent, type Table } from "./events";
import type { Agent } from "./types";

/** The fleet by id. */
export type Agents = ReadonlyMap<string, Agent>;

const AGENT: Table<Agent> = {
  "agent.updated.v1": (row, { name, role, capabilities, config }) => ({
    ...row,
    name,
    role,
    capabilities,
    config,
  }),
  "agent.activated.v1": (row) => ({ ...row, lifecycle: "active" }),
  "agent.deactivated.v1": (row) => ({ ...row, lifecycle: "inactive" }),
  "agent.retired.v1": (row) => ({ ...row, lifecycle: "retired", presence: "offline" }),
  "agent.came_online.v1": (row) => ({ ...row, presence: "available" }),
  "agent.went_busy.v1": (row) => ({ ...row, presence: "busy" }),
  "agent.became_available.v1": (row) => ({ ...row, presence: "available" }),
  "agent.went_offline.v1": (row) => ({ ...row, presence: "offline" }),
};

/** Returns agents of a list as the state that events are applied to. */
export function agentsOf(items: readonly Agent[]): Agents {
  return new Map(items.map((agent) => [agent.id, agent]));
}

/** Applies a batch of events, in order; the same state comes back where none of them changes it. */
export function applyToAgents(state: Agents, events: readonly LiveEvent[]): Agents {
  let agents: Map<string, Agent> | null = null;
  for (const event of events) {
    if (!event.event.startsWith("agent.")) continue;
    const before = (agents ?? state).get(event.payload.entityId);
    const after = before === undefined ? registered(event) : fold(AGENT, before, event);
    if (after === before || after === undefined) continue;
    agents ??= new Map(state);
    agents.set(after.id, after);
  }
  return agents ?? state;
}

function registered(event: LiveEvent): Agent | undefined {
  if (event.event !== "agent.registered.v1") return undefined;
  const data = event.payload.data as Data["agent.registered.v1"];
  return {
    id: event.payload.entityId,
    version: event.v,
    name: data.name,
    role: data.role,
    capabilities: data.capabilities,
    config: data.config,
    owner_id: data.owner_id,
    lifecycle: "active",
    presence: "offline",
    created_at: event.payload.timestamp,
    updated_at: event.payload.timestamp,
    seen_at: null,
    mission_id: null,
  };
}
