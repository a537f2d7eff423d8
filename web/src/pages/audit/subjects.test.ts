import { expect, test } from "vitest";
import { subjectWords, summary, titlesIn } from "./subjects";

const id = (end: string) => `01a22d43-e6e5-70cc-a8ea-${end.padStart(12, "0")}`;
const [mission, other, board, ines, actor] = ["a1", "a2", "b1", "c1", "c2"].map(id) as [
  string,
  string,
  string,
  string,
  string,
];
const told = (type: string, data: Record<string, unknown>, stream_id = mission) => ({
  type: `${type}.v1`,
  stream_id,
  data,
  actor: { id: actor },
});

test("a mission is called what the newest event that tells its title says", () => {
  const events = [
    told("mission.deleted", { board_id: board }),
    told("mission.edited", { content: { title: "Count the barrels" } }),
    told("mission.moved", { card: { content: { title: "Weigh the sacks" } } }, other),
    told("mission.moved", { card: null }),
    told("mission.created", { content: { title: "Count the kegs" } }),
    told("comment.added", { content: { title: "not a mission" } }, id("d1")),
  ];
  expect([...titlesIn(events)]).toEqual([
    [mission, "Count the barrels"],
    [other, "Weigh the sacks"],
  ]);
});

test("an event is about what it happened to, by name or by the end of its id", () => {
  const names = new Map([
    [mission, "Count the barrels"],
    [ines, "Ines"],
  ]);
  const about = (...of: Parameters<typeof told>) =>
    subjectWords(told(...of), (each) => names.get(each));
  expect(about("mission.deleted", { board_id: board })).toBe("Count the barrels");
  expect(about("mission.deleted", { board_id: board }, other)).toBe("mission …0000a2");
  expect(about("comment.removed", { mission_id: mission }, id("d1"))).toBe("Count the barrels");
  expect(about("workspace.member_added", { user_id: ines, role: "viewer" })).toBe("Ines");
  expect(about("agent.retired", {}, id("e1"))).toBe("agent …0000e1");
});

test("what an event says names others, and neither who did it nor where it is", () => {
  const names = new Map([
    [ines, "Ines"],
    [actor, "Me"],
    [board, "Port"],
    [mission, "Count the barrels"],
  ]);
  const said = (type: string, data: Record<string, unknown>) =>
    summary(told(type, data), (each) => names.get(each));
  expect(said("mission.assigned", { board_id: board, assignee_id: ines })).toBe("assignee: Ines");
  expect(said("mission.approved", { reviewer_id: actor, stage: "done", rank: "a0" })).toBe(
    "stage: done",
  );
  expect(said("mission.dependency_met", { depends_on_id: id("ff") })).toBe("");
});
