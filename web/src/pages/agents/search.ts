import { FLEET_STATES, type FleetState } from "@/models/types";
import { type MomentSearch, momentSearch } from "@/shell/moment";

/** What of the fleet's view is in its address. A part that makes no sense is left out. */
export type AgentsSearch = MomentSearch & {
  /** Words that a name, a role or a capability must have. */
  q?: string;
  state?: FleetState;
  capability?: string;
};

export function agentsSearch(raw: Record<string, unknown>): AgentsSearch {
  const found: AgentsSearch = momentSearch(raw);
  if (typeof raw.q === "string" && raw.q !== "") found.q = raw.q;
  if ((FLEET_STATES as readonly unknown[]).includes(raw.state)) {
    found.state = raw.state as FleetState;
  }
  if (typeof raw.capability === "string" && raw.capability !== "") {
    found.capability = raw.capability;
  }
  return found;
}
