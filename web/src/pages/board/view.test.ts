import { expect, test } from "vitest";
import type { Card } from "@/models/types";
import { fits, isNarrow, isSame, NOBODY, rowsOf, type View, viewOf } from "./view";

const card = (id: string, facts: Partial<Card> = {}): Card =>
  ({
    id,
    title: id,
    priority: "normal",
    labels: [],
    assignees: [],
    holder: null,
    ...facts,
  }) as Card;
const NAMES: Record<string, string> = { a: "Ada", z: "Zoe", bot: "Forge" };
const nameOf = (id: string) => NAMES[id] ?? id;

test("a card has every word of a filter, and one of what was chosen of each kind", () => {
  const one = card("1", { title: "Weld the Hull", labels: ["steel"], assignees: ["a"] });
  expect(fits(one, {})).toBe(true);
  expect(fits(one, { q: "hull weld" })).toBe(true);
  expect(fits(one, { q: "hull paint" })).toBe(false);
  expect(fits(one, { label: ["wood", "steel"], priority: ["normal"] })).toBe(true);
  expect(fits(one, { label: ["steel"], priority: ["urgent"] })).toBe(false);
  expect(fits(one, { assignee: ["z"] })).toBe(false);
});

test("whoever works on a card has it, and what nobody has can be asked for", () => {
  expect(fits(card("1", { holder: "bot" }), { assignee: ["bot"] })).toBe(true);
  expect(fits(card("1", { holder: "bot" }), { assignee: [NOBODY] })).toBe(false);
  expect(fits(card("1"), { assignee: [NOBODY] })).toBe(true);
});

const shape = (cards: Card[], view: View) =>
  rowsOf(cards, view, nameOf).map((row) =>
    row.kind === "head" ? `${row.group}:${row.count}` : row.card.id,
  );

test("without a group the order stays, and what does not fit is gone", () => {
  const cards = [card("1"), card("2", { priority: "low" }), card("3")];
  expect(shape(cards, {})).toEqual(["1", "2", "3"]);
  expect(shape(cards, { priority: ["normal"] })).toEqual(["1", "3"]);
});

test("priorities are grouped from urgent to low, with the order of the cards kept", () => {
  const cards = [card("1"), card("2", { priority: "urgent" }), card("3")];
  expect(shape(cards, { group: "priority" })).toEqual(["urgent:1", "2", "normal:2", "1", "3"]);
});

test("people are grouped by name, each card once, and what nobody has comes last", () => {
  const cards = [
    card("1"),
    card("2", { assignees: ["z", "a"] }),
    card("3", { assignees: ["a"] }),
    card("4", { assignees: ["a"], holder: "bot" }),
  ];
  expect(shape(cards, { group: "assignee" })).toEqual([
    "a:1",
    "3",
    "bot:1",
    "4",
    "z:1",
    "2",
    "nobody:1",
    "1",
  ]);
});

test("a view is what is in the address without the rest, and the same in any order", () => {
  const view = viewOf({ q: "", label: ["b", "a"], mission: "m", at: 4 } as View);
  expect(view).toEqual({ label: ["b", "a"] });
  expect(isSame(view, { label: ["a", "b"] })).toBe(true);
  expect(isSame(view, { label: ["a", "b"], group: "priority" })).toBe(false);
  expect(isNarrow({ group: "priority" })).toBe(false);
  expect(isNarrow(view)).toBe(true);
});
