import type { Role } from "@/models/types";

/** Roles as people read them. */
export const ROLE_WORDS: Record<Role, { name: string; about: string }> = {
  viewer: {
    name: "Viewer",
    about: "Sees boards, missions and agents, not analytics or the audit log; changes nothing",
  },
  agent_operator: { name: "Agent operator", about: "Registers agents and gives them keys" },
  mission_commander: {
    name: "Mission commander",
    about: "Creates and reviews missions, arranges boards",
  },
  admin: { name: "Admin", about: "May do everything, and adds people" },
};
