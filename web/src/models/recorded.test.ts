import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { agentsOf, applyToAgents } from "./agents";
import { applyToBoard, type BoardDocument, type BoardState, boardOf } from "./board";
import type { LiveEvent } from "./events";
import { applyToMembers, type Members } from "./members";
import { applyToMission } from "./missions";
import type { Agent, Member, Mission } from "./types";

type Recorded = { start: unknown; events: LiveEvent[]; end: unknown };
type Items<Item> = { items: Item[] };

const fixtures = join(import.meta.dirname, "../../fixtures");
/** Files that `tests/web/recording.py` wrote: those in the repository, and fresh ones where a folder is named. */
const folder = process.env.MC_RECORDED ?? fixtures;

/** A board arrives with every card but for who made it, which no event of its room tells; see `board.ts`. */
function seen(board: BoardState) {
  const cards = [...board.cards.values()].map(({ created_by: _, created_at: __, ...card }) => card);
  return { ...board, cards: cards.sort((a, b) => (a.id < b.id ? -1 : 1)) };
}

// Addresses are not told in rooms of members.
const listed = ({ email: _, ...member }: Member) => member;
// Heartbeats and leases' ends are telemetry: no event tells of them.
const known = (agent: Agent) => ({ ...agent, seen_at: null, mission_id: null });
const mission = (document: unknown) => ({ ...(document as Mission), position: 0 });

/** What each read model makes of a document, and of one with events. */
const MODELS: Record<string, (recorded: Recorded) => [unknown, unknown]> = {
  board: ({ start, events, end }) => [
    seen(applyToBoard(boardOf(start as BoardDocument), events)),
    seen(boardOf(end as BoardDocument)),
  ],
  mission: ({ start, events, end }) => [
    events.reduce(applyToMission, mission(start)),
    mission(end),
  ],
  agents: ({ start, events, end }) => {
    const after = applyToAgents(agentsOf((start as Items<Agent>).items), events);
    const last = agentsOf((end as Items<Agent>).items);
    return [
      new Map([...after].map(([id, agent]) => [id, known(agent)])),
      new Map([...last].map(([id, agent]) => [id, known(agent)])),
    ];
  },
  members: ({ start, events, end }) => {
    const byId = (document: unknown) =>
      new Map((document as Items<Member>).items.map((member) => [member.id, listed(member)]));
    return [applyToMembers(byId(start) as Members, events), byId(end)];
  },
};

const files = readdirSync(folder).filter((name) => name.endsWith(".json"));

test("every read model was recorded", () => {
  expect(files.map((name) => name.replace(".json", "")).sort()).toEqual(Object.keys(MODELS).sort());
});

for (const [name, apply] of Object.entries(MODELS)) {
  const read = () => JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8")) as Recorded;

  test(`${name}: a state and its events are the state that is fetched after them`, () => {
    const [after, fetched] = apply(read());
    expect(after).toEqual(fetched);
  });

  test(`${name}: events that come twice change nothing`, () => {
    const recorded = read();
    const [after, fetched] = apply({ ...recorded, events: recorded.events.flatMap((e) => [e, e]) });
    expect(after).toEqual(fetched);
  });
}
