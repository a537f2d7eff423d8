/**
 * What the API's documents hold, as read models know it, named as its OpenAPI document describes them. Times
 * are ISO 8601, ids are UUIDs.
 */

import type { components } from "@/api/schema";

/** Everything that the API's document describes. */
export type Schemas = components["schemas"];

export type Stage = Schemas["Stage"];
export const STAGES = [
  "backlog",
  "ready",
  "active",
  "review",
  "done",
] as const satisfies readonly Stage[];

export type Priority = Schemas["Priority"];
export const PRIORITIES = [
  "urgent",
  "high",
  "normal",
  "low",
] as const satisfies readonly Priority[];
export const PRIORITY_NAME: Record<Priority, string> = {
  urgent: "Urgent",
  high: "High",
  normal: "Normal",
  low: "Low",
};

/** A mission on a board. */
export type Card = Schemas["Card"];
/** A mission in full. */
export type Mission = Schemas["Mission"];
export type Place = Pick<Card, "board_id" | "column_id" | "stage" | "rank">;
export type Content = Pick<
  Mission,
  "title" | "description" | "priority" | "labels" | "due" | "required_capabilities"
>;

export type Column = Schemas["Column"];
export type BoardSummary = Schemas["Board"];

export type Lifecycle = Schemas["Lifecycle"];
export type Presence = Schemas["Presence"];
/** An agent; its last heartbeat is telemetry, which no event tells. */
export type Agent = Schemas["Agent"];

export type Role = Schemas["Role"];
export const ROLES = [
  "viewer",
  "agent_operator",
  "mission_commander",
  "admin",
] as const satisfies readonly Role[];

export type Member = Schemas["ListedMember"];
export type Permission = Schemas["Permission"];
/** Who is signed in, and what they may do: a hint for what to show; the server decides. */
export type Me = Schemas["Me"];

/** A page of a list. */
export type Page<Item> = { items: Item[]; next_cursor: string | null; position: number };

/** Where an agent stands, the most urgent to know first. */
export const FLEET_STATES = ["busy", "available", "offline", "inactive", "retired"] as const;
export type FleetState = (typeof FLEET_STATES)[number];

/** What may wait for somebody. */
export const INBOX_KINDS = ["mention", "review", "alert"] as const;
export type InboxKind = (typeof INBOX_KINDS)[number];
