import type { Column, Content, Place } from "./types";

/** An event as rooms tell it: `pos` is its place in the log, `v` the version of the thing it happened to. */
export type LiveEvent = {
  pos: number;
  prev: number;
  v: number;
  event: string;
  payload: {
    entityId: string;
    data: Record<string, unknown>;
    timestamp: string;
    userId: string | null;
  };
};

/** The data of events, as docs/events.md has it; what reducers read and no more. */
export type Data = {
  "mission.created.v1": Place & { content: Content; assignees: string[]; created_by: string };
  "mission.edited.v1": { content: Content };
  "mission.moved.v1": Place & {
    from_board_id: string;
    from_column_id: string;
    card: Carried | null;
  };
  "mission.reranked.v1": Place;
  "mission.assigned.v1": { assignee_id: string };
  "mission.unassigned.v1": { assignee_id: string };
  "mission.claimed.v1": Place & { agent_id: string };
  "mission.lease_expired.v1": Place;
  "mission.released.v1": Place;
  "mission.progressed.v1": { percent: number; note: string | null };
  "mission.submitted.v1": Place & { agent_id: string; summary: string };
  "mission.approved.v1": Place;
  "mission.rejected.v1": Place & { reason: string };
  "mission.completed.v1": Place;
  "mission.reopened.v1": object;
  "mission.failed.v1": Place;
  "mission.blocked.v1": { reason: string };
  "mission.unblocked.v1": object;
  "mission.dependency_added.v1": { depends_on_id: string; met: boolean };
  "mission.dependency_removed.v1": { depends_on_id: string };
  "mission.dependency_met.v1": { depends_on_id: string };
  "mission.dependency_unmet.v1": { depends_on_id: string };
  "mission.deleted.v1": object;
  "board.created.v1": { name: string; columns: Column[] };
  "board.renamed.v1": { name: string };
  "board.column_added.v1": { column: Column };
  "board.column_renamed.v1": { column_id: string; name: string };
  "board.column_moved.v1": { column_id: string; rank: string };
  "board.column_removed.v1": { column_id: string };
  "board.wip_limit_set.v1": { column_id: string; wip_limit: number | null };
  "agent.registered.v1": {
    name: string;
    role: string;
    capabilities: string[];
    config: Record<string, unknown>;
    owner_id: string;
  };
  "agent.updated.v1": {
    name: string;
    role: string;
    capabilities: string[];
    config: Record<string, unknown>;
  };
  "agent.activated.v1": object;
  "agent.deactivated.v1": object;
  "agent.retired.v1": object;
  "agent.came_online.v1": object;
  "agent.went_busy.v1": object;
  "agent.became_available.v1": object;
  "agent.went_offline.v1": object;
};

/** A card that comes from another board brings all that this one does not know of it. */
export type Carried = {
  content: Content;
  assignees: string[];
  holder: string | null;
  progress_percent: number;
  blocked_reason: string | null;
  dependencies: string[];
  unmet_dependencies: string[];
  submitted_by: string | null;
  summary: string | null;
  failures: number;
  completed: boolean;
};

/** A table from event type to a pure function of a row and what the event says. */
export type Table<Row> = {
  [Type in keyof Data]?: (row: Row, data: Data[Type], event: LiveEvent) => Row;
};

/**
 * Applies an event to a row by a table. What the row has seen, by its version, changes nothing: rows may
 * be ahead of the position that they were fetched with.
 */
export function fold<Row extends { version: number; updated_at: string }>(
  table: Table<Row>,
  row: Row,
  event: LiveEvent,
): Row {
  if (event.v <= row.version) return row;
  const change = table[event.event as keyof Data] as
    | ((row: Row, data: unknown, event: LiveEvent) => Row)
    | undefined;
  if (change === undefined) return row;
  const changed = change(row, event.payload.data, event);
  return { ...changed, version: event.v, updated_at: event.payload.timestamp };
}
