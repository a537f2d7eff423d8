/** What the API's documents hold, as read models know it. Times are ISO 8601, ids are UUIDs. */

export const STAGES = ["backlog", "ready", "active", "review", "done"] as const;
export type Stage = (typeof STAGES)[number];

export const PRIORITIES = ["urgent", "high", "normal", "low"] as const;
export type Priority = (typeof PRIORITIES)[number];
export const PRIORITY_NAME: Record<Priority, string> = {
  urgent: "Urgent",
  high: "High",
  normal: "Normal",
  low: "Low",
};

export type Place = { board_id: string; column_id: string; stage: Stage; rank: string };

export type Content = {
  title: string;
  description: string;
  priority: Priority;
  labels: string[];
  due: string | null;
  required_capabilities: string[];
};

/** A mission on a board. */
export type Card = Place &
  Omit<Content, "description"> & {
    id: string;
    version: number;
    assignees: string[];
    holder: string | null;
    lease_token: number | null;
    progress_percent: number;
    progress_note: string | null;
    dependencies: string[];
    unmet_dependencies: string[];
    blocked_reason: string | null;
    failures: number;
    submitted_by: string | null;
    summary: string | null;
    completed: boolean;
    created_by: string;
    created_at: string;
    updated_at: string;
    stale: boolean;
  };

/** A mission in full. */
export type Mission = Card & { description: string };

export type Column = {
  id: string;
  name: string;
  stage: Stage;
  wip_limit: number | null;
  rank: string;
};

export type Lifecycle = "active" | "inactive" | "retired";
export type Presence = "available" | "busy" | "offline";

export type Agent = {
  id: string;
  version: number;
  name: string;
  role: string;
  capabilities: string[];
  config: Record<string, unknown>;
  owner_id: string;
  lifecycle: Lifecycle;
  presence: Presence;
  created_at: string;
  updated_at: string;
  /** The last heartbeat: telemetry, which no event tells. */
  seen_at: string | null;
  mission_id: string | null;
};

export const ROLES = ["viewer", "agent_operator", "mission_commander", "admin"] as const;
export type Role = (typeof ROLES)[number];

export type Member = {
  id: string;
  name: string | null;
  role: Role;
  disabled: boolean;
  removed: boolean;
  joined_at: string;
  email?: string | null;
};

export type Permission =
  | "read"
  | "comment"
  | "manage_agents"
  | "view_analytics"
  | "create_missions"
  | "admin_access";

/** Who is signed in, and what they may do: a hint for what to show; the server decides. */
export type Me = {
  id: string;
  name: string | null;
  email: string | null;
  role: Role;
  permissions: Permission[];
  workspace: { id: string; name: string };
};

export type BoardSummary = {
  id: string;
  version: number;
  name: string;
  columns: Column[];
  default: boolean;
};

/** A page of a list. */
export type Page<Item> = { items: Item[]; next_cursor: string | null; position: number };
