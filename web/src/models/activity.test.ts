import { expect, it } from "vitest";
import { ACTIVITY_DAYS, type ActivityItem, byDay, worthTelling } from "./activity";

const NOW = Date.parse("2026-03-14T00:30:00Z");
const item = (type: string, recorded_at: string) => ({ type, recorded_at }) as ActivityItem;

it("counts by day of UTC, today last, and leaves out what is older", () => {
  const found = byDay(
    [
      item("mission.submitted.v1", "2026-03-14T00:10:00Z"),
      item("mission.claimed.v1", "2026-03-13T23:59:59Z"),
      item("mission.lease_expired.v1", "2026-03-13T00:00:00Z"),
      item("mission.submitted.v1", "2026-02-28T23:59:59Z"),
    ],
    NOW,
  );
  expect(found.days).toHaveLength(ACTIVITY_DAYS);
  expect(found.days.at(0)).toBe("2026-03-01");
  expect(found.days.at(-1)).toBe("2026-03-14");
  expect(found.events.slice(-2)).toEqual([2, 1]);
  expect(found.submitted.reduce((a, b) => a + b)).toBe(1);
  expect(found.expired.at(-2)).toBe(1);
});

it("tells of reports in a row the newest, and nothing that a claim says already", () => {
  const of = (type: string, mission_id: string, id: string) =>
    ({ type, mission_id, id }) as ActivityItem;
  const told = worthTelling([
    of("mission.progressed.v1", "m", "3"),
    of("agent.went_busy.v1", "", "2"),
    of("mission.progressed.v1", "m", "1"),
    of("mission.progressed.v1", "other", "0"),
  ]);
  expect(told.map(({ id }) => id)).toEqual(["3", "0"]);
});
