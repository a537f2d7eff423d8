/** How many days of an agent's activity its page shows, today included. */
export const ACTIVITY_DAYS = 14;
const DAY_MS = 86_400_000;

/** One event as the timeline tells it. */
export type ActivityItem = {
  id: string;
  position: number;
  type: string;
  recorded_at: string;
  actor_kind: "agent" | "user" | "system";
  actor_id: string;
  mission_id: string | null;
  mission_title: string | null;
  details: {
    title: string | null;
    stage: string | null;
    percent: number | null;
    text: string | null;
    changed: string[];
  };
};

export type ActivityDays = {
  /** The days, in UTC, as ISO dates. */
  days: string[];
  events: number[];
  submitted: number[];
  expired: number[];
};

/** Counts what happened by day, up to the day of `now`. */
export function byDay(items: readonly ActivityItem[], now: number): ActivityDays {
  const last = Math.floor(now / DAY_MS);
  const first = last - ACTIVITY_DAYS + 1;
  const zeros = () => new Array<number>(ACTIVITY_DAYS).fill(0);
  const found: ActivityDays = {
    days: zeros().map((_, index) => new Date((first + index) * DAY_MS).toISOString().slice(0, 10)),
    events: zeros(),
    submitted: zeros(),
    expired: zeros(),
  };
  const add = (counts: number[], index: number) => {
    const count = counts[index];
    if (count !== undefined) counts[index] = count + 1;
  };
  for (const { type, recorded_at } of items) {
    const index = Math.floor(Date.parse(recorded_at) / DAY_MS) - first;
    add(found.events, index);
    if (type === "mission.submitted.v1") add(found.submitted, index);
    if (type === "mission.lease_expired.v1") add(found.expired, index);
  }
  return found;
}

/** What every claim and every end of work brings with it. */
const NOISE = new Set(["agent.went_busy.v1", "agent.became_available.v1"]);
const PROGRESS = "mission.progressed.v1";

/** Leaves out what says nothing new: of several reports on one mission in a row, the newest stays. */
export function worthTelling(items: readonly ActivityItem[]): ActivityItem[] {
  const told: ActivityItem[] = [];
  for (const item of items) {
    const newer = told.at(-1);
    const isOlderReport =
      item.type === PROGRESS && newer?.type === PROGRESS && newer.mission_id === item.mission_id;
    if (!NOISE.has(item.type) && !isOlderReport) told.push(item);
  }
  return told;
}
