import { fold, type LiveEvent, type Table } from "./events";
import type { Card, Mission, Place } from "./types";

/** A card, or a mission in full. */
type Row = Card & { description?: string; sent_back_reason?: string | null; deleted?: boolean };

const placed = <R extends Row>(row: R, data: Place): R => ({
  ...row,
  board_id: data.board_id,
  column_id: data.column_id,
  stage: data.stage,
  rank: data.rank,
});
const leaseEnded = (row: Row, data: Place): Row => ({
  ...placed(row, data),
  holder: null,
  lease_token: null,
});
/** Returns what only a mission in full has, and nothing where the row is a card. */
const inFull = (row: Row, more: Pick<Row, "description" | "sent_back_reason">) =>
  row.description === undefined ? {} : more;
const without = (ids: string[], gone: string) => ids.filter((id) => id !== gone);

/** What each event does to a mission: the same table as `projections/missions.py`. */
export const MISSION: Table<Row> = {
  "mission.edited.v1": (row, { content }) => {
    const { description, ...onCard } = content;
    return { ...row, ...onCard, ...inFull(row, { description }) };
  },
  "mission.moved.v1": (row, data) =>
    data.column_id === data.from_column_id ? placed(row, data) : leaseEnded(row, data),
  "mission.reranked.v1": placed,
  "mission.assigned.v1": (row, data) => ({
    ...row,
    assignees: [...row.assignees, data.assignee_id],
  }),
  "mission.unassigned.v1": (row, data) => ({
    ...row,
    assignees: without(row.assignees, data.assignee_id),
  }),
  "mission.claimed.v1": (row, data, event) => ({
    ...placed(row, data),
    holder: data.agent_id,
    lease_token: event.v,
    progress_percent: 0,
    progress_note: null,
  }),
  "mission.lease_expired.v1": leaseEnded,
  "mission.released.v1": leaseEnded,
  "mission.progressed.v1": (row, data) => ({
    ...row,
    progress_percent: data.percent,
    progress_note: data.note,
  }),
  "mission.submitted.v1": (row, data) => ({
    ...leaseEnded(row, data),
    submitted_by: data.agent_id,
    summary: data.summary,
    ...inFull(row, { sent_back_reason: null }),
  }),
  "mission.approved.v1": placed,
  "mission.rejected.v1": (row, data) => ({
    ...placed(row, data),
    submitted_by: null,
    summary: null,
    ...inFull(row, { sent_back_reason: data.reason }),
  }),
  "mission.completed.v1": (row, data) => ({
    ...placed(row, data),
    progress_percent: 100,
    ...inFull(row, { sent_back_reason: null }),
    completed: true,
  }),
  "mission.reopened.v1": (row) => ({ ...row, completed: false, submitted_by: null, summary: null }),
  "mission.failed.v1": (row, data) => ({ ...leaseEnded(row, data), failures: row.failures + 1 }),
  "mission.blocked.v1": (row, data) => ({ ...row, blocked_reason: data.reason }),
  "mission.unblocked.v1": (row) => ({ ...row, blocked_reason: null, failures: 0 }),
  "mission.dependency_added.v1": (row, data) => ({
    ...row,
    dependencies: [...row.dependencies, data.depends_on_id],
    unmet_dependencies: data.met
      ? row.unmet_dependencies
      : [...row.unmet_dependencies, data.depends_on_id],
  }),
  "mission.dependency_removed.v1": (row, data) => ({
    ...row,
    dependencies: without(row.dependencies, data.depends_on_id),
    unmet_dependencies: without(row.unmet_dependencies, data.depends_on_id),
  }),
  "mission.dependency_met.v1": (row, data) => ({
    ...row,
    unmet_dependencies: without(row.unmet_dependencies, data.depends_on_id),
  }),
  "mission.dependency_unmet.v1": (row, data) => ({
    ...row,
    unmet_dependencies: [...row.unmet_dependencies, data.depends_on_id],
  }),
  "mission.deleted.v1": (row) => ({ ...row, holder: null, lease_token: null, deleted: true }),
};

/** A mission that a page shows; null once it was deleted. */
export type MissionState = Mission | null;

/** Applies an event to a mission in full. */
export function applyToMission(state: MissionState, event: LiveEvent): MissionState {
  if (state === null || event.payload.entityId !== state.id) return state;
  const { deleted, ...row } = fold(MISSION, state as Row, event);
  return deleted === true ? null : (row as Mission);
}
