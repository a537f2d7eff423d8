import { describe, expect, it } from "vitest";
import type { LiveEvent } from "./events";
import { applyToWork, byState, heldBy, stateOf, type Work, workOf } from "./fleet";
import type { Agent, Card } from "./types";

function agent(name: string, change: Partial<Agent> = {}): Agent {
  return {
    id: name,
    version: 1,
    name,
    role: "",
    capabilities: [],
    config: {},
    owner_id: "o",
    lifecycle: "active",
    presence: "available",
    created_at: "",
    updated_at: "",
    seen_at: null,
    mission_id: null,
    ...change,
  };
}

function told(event: string, v: number, data: object, entityId = "m"): LiveEvent {
  const timestamp = `2026-01-01T00:00:0${v}Z`;
  return {
    pos: v,
    prev: v - 1,
    v,
    event,
    payload: { entityId, data, timestamp, userId: null },
  } as LiveEvent;
}

const CARD = {
  id: "m",
  version: 3,
  title: "Count",
  holder: "a",
  progress_percent: 10,
  progress_note: null,
  updated_at: "2026-01-01T00:00:00Z",
} as Card;
const WORK: Work = workOf([CARD, { ...CARD, id: "free", holder: null }]);

describe("the fleet", () => {
  it("tells a lifecycle that ends work before a presence", () => {
    expect(stateOf(agent("a", { presence: "busy" }))).toBe("busy");
    expect(stateOf(agent("a", { presence: "busy", lifecycle: "inactive" }))).toBe("inactive");
  });

  it("is ordered by state and name, without the retired unless they are asked for", () => {
    const fleet = [
      agent("zed"),
      agent("Ann"),
      agent("old", { lifecycle: "retired" }),
      agent("bob", { presence: "busy" }),
    ];
    const names = byState(fleet, {}).map(([state, found]) => [state, found.map((a) => a.name)]);
    expect(names).toEqual([
      ["busy", ["bob"]],
      ["available", ["Ann", "zed"]],
    ]);
    expect(byState(fleet, { state: "retired" })[0]?.[1]).toHaveLength(1);
  });

  it("is filtered by every word, in name, role or capability", () => {
    const fleet = [agent("ann", { role: "writer", capabilities: ["sql"] }), agent("bob")];
    expect(byState(fleet, { q: "WRIT sql" }).flatMap(([, found]) => found)).toHaveLength(1);
    expect(byState(fleet, { q: "writer go" })).toEqual([]);
    expect(byState(fleet, { capability: "sq" })).toEqual([]);
  });
});

describe("what agents have in hand", () => {
  it("begins with what has a holder", () => {
    expect([...WORK.keys()]).toEqual(["m"]);
  });

  it("stays the same object where nothing changed, or what is told is known", () => {
    expect(applyToWork(WORK, [told("mission.blocked.v1", 4, { reason: "" })])).toBe(WORK);
    expect(applyToWork(WORK, [told("mission.progressed.v1", 3, { percent: 90, note: null })])).toBe(
      WORK,
    );
  });

  it("follows progress, and forgets what was submitted", () => {
    const after = applyToWork(WORK, [told("mission.progressed.v1", 4, { percent: 60, note: "x" })]);
    expect(heldBy(after, "a")[0]?.progress_percent).toBe(60);
    expect(applyToWork(after, [told("mission.submitted.v1", 5, {})]).size).toBe(0);
  });

  it("hears of a claim before it knows the mission", () => {
    const after = applyToWork(WORK, [told("mission.claimed.v1", 7, { agent_id: "b" }, "new")]);
    expect(heldBy(after, "b")).toMatchObject([{ id: "new", title: null, version: 7 }]);
    expect(applyToWork(WORK, [told("mission.progressed.v1", 7, { percent: 1 }, "new")])).toBe(WORK);
  });

  it("keeps a lease that a move within the column does not end", () => {
    const within = { column_id: "c", from_column_id: "c" };
    expect(applyToWork(WORK, [told("mission.moved.v1", 4, within)]).size).toBe(1);
    const away = { column_id: "d", from_column_id: "c" };
    expect(applyToWork(WORK, [told("mission.moved.v1", 4, away)]).size).toBe(0);
  });
});
