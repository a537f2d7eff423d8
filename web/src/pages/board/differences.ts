import type { BoardState } from "@/models/board";
import type { Card } from "@/models/types";

/** What became of a card that is shown as it was. */
export type Difference =
  | { kind: "gone" }
  | { kind: "moved"; to: string }
  | { kind: "changed"; what: string[] };

/** What became of a board since the moment that is shown. */
export type Since = {
  cards: ReadonlyMap<string, Difference>;
  /** How many missions are on it now that were not there. */
  added: number;
  /** When that moment was, in milliseconds: what was late then. Undefined for now. */
  time?: number;
};

export const NONE: Since = { cards: new Map(), added: 0 };

/** What a card shows, in the words that a mark uses. */
const SHOWN: [string, (card: Card) => unknown][] = [
  ["title", (card) => card.title],
  ["priority", (card) => card.priority],
  ["labels", (card) => card.labels.join()],
  ["due date", (card) => card.due],
  ["assignees", (card) => card.assignees.join()],
  ["agent at work", (card) => card.holder],
  ["progress", (card) => card.progress_percent],
  ["block", (card) => card.blocked_reason],
  ["dependencies", (card) => card.unmet_dependencies.join()],
];

/** Returns what differs on a board of the past from what it is now. */
export function differences(then: BoardState, now: BoardState): Since {
  const cards = new Map<string, Difference>();
  for (const card of then.cards.values()) {
    const found = difference(card, now);
    if (found !== null) cards.set(card.id, found);
  }
  const added = [...now.cards.keys()].filter((id) => !then.cards.has(id)).length;
  return { cards, added };
}

function difference(then: Card, board: BoardState): Difference | null {
  const now = board.cards.get(then.id);
  if (now === undefined) return { kind: "gone" };
  if (now.version === then.version) return null;
  if (now.column_id !== then.column_id) {
    const column = board.columns.find(({ id }) => id === now.column_id);
    return { kind: "moved", to: column?.name ?? "another column" };
  }
  const what = SHOWN.filter(([, of]) => of(then) !== of(now)).map(([name]) => name);
  return what.length === 0 ? null : { kind: "changed", what };
}
