import { expect, test } from "vitest";
import type { BoardState } from "@/models/board";
import type { Card } from "@/models/types";
import { standing, type Target } from "./moves";

const board = (columns: Record<string, string>) => {
  const cards = Object.entries(columns).map(([id, column_id]) => ({ id, column_id }) as Card);
  return {
    cards: new Map(cards.map((card) => [card.id, card])),
  } as Partial<BoardState> as BoardState;
};
const pending = (id: string, target: Target) => new Map([[id, { target, version: null }]]);
const NONE = new Map();

test("a card goes beside a neighbour that is in the column, and to its end where it has left", () => {
  const before = { columnId: "Ready", before: "1" };
  const after = { columnId: "Ready", after: "1" };
  expect(standing(board({ 1: "Ready" }), NONE, before)).toEqual(before);
  expect(standing(board({ 1: "Ready" }), NONE, after)).toEqual(after);
  expect(standing(board({ 1: "Done" }), NONE, before)).toEqual({ columnId: "Ready" });
  expect(standing(board({ 1: "Done" }), NONE, after)).toEqual({ columnId: "Ready" });
  expect(standing(board({}), NONE, after)).toEqual({ columnId: "Ready" });
  expect(standing(board({}), NONE, { columnId: "Ready" })).toEqual({ columnId: "Ready" });
});

test("a neighbour is where it was just put, whatever the board has told yet", () => {
  const target = { columnId: "Ready", after: "1" };
  const toReady = pending("1", { columnId: "Ready" });
  expect(standing(board({ 1: "Done" }), toReady, target)).toEqual(target);
  const toDone = pending("1", { columnId: "Done" });
  expect(standing(board({ 1: "Ready" }), toDone, target)).toEqual({ columnId: "Ready" });
});
