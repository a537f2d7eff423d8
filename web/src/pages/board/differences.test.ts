import { expect, test } from "vitest";
import type { BoardState } from "@/models/board";
import type { Card, Column } from "@/models/types";
import { differences } from "./differences";

const COLUMNS = ["Ready", "Done"].map((name) => ({ id: name, name }) as Column);

function board(...cards: Partial<Card>[]): BoardState {
  const full = cards.map((card) => ({
    version: 1,
    column_id: "Ready",
    title: "Count",
    labels: [],
    assignees: [],
    unmet_dependencies: [],
    ...card,
  })) as unknown as Card[];
  return {
    id: "b",
    name: "Platform",
    version: 1,
    columns: COLUMNS,
    cards: new Map(full.map((card) => [card.id, card])),
  };
}

test("what is the same now is not marked", () => {
  const then = board({ id: "1" });
  expect(differences(then, then)).toEqual({ cards: new Map(), added: 0 });
});

test("a card that is elsewhere now says where", () => {
  const now = board({ id: "1", version: 2, column_id: "Done" });
  expect(differences(board({ id: "1" }), now).cards.get("1")).toEqual({
    kind: "moved",
    to: "Done",
  });
});

test("a card that changed in place says what changed, and one that only looks the same says nothing", () => {
  const then = board({ id: "1" }, { id: "2" });
  const now = board(
    { id: "1", version: 2, title: "Count again", labels: ["port"] },
    { id: "2", version: 3 },
  );
  expect([...differences(then, now).cards]).toEqual([
    ["1", { kind: "changed", what: ["title", "labels"] }],
  ]);
});

test("what is gone is marked, and what came since is counted", () => {
  const since = differences(board({ id: "1" }), board({ id: "2" }, { id: "3" }));
  expect(since.cards.get("1")).toEqual({ kind: "gone" });
  expect(since.added).toBe(2);
});
