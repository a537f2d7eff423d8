import { compare } from "@/lib/text";
import { type Card, PRIORITIES } from "@/models/types";
import type { BoardSearch } from "./search";

/** How a board is looked at: what of it, and in which groups. The whole of it is in the address. */
export type View = {
  [Part in "q" | "priority" | "label" | "assignee" | "group"]?: BoardSearch[Part] | undefined;
};
export type Grouping = NonNullable<View["group"]>;

/** What stands in a column: a card, or the head over the cards of a group. */
export type Row =
  | { kind: "card"; card: Card; group: string }
  | { kind: "head"; group: string; count: number };

/** In the place of somebody's id: a card that nobody has. */
export const NOBODY = "nobody";

/** Returns the view of an address, without what else is in it. */
export function viewOf({ q, priority, label, assignee, group }: View) {
  return {
    ...(q ? { q } : {}),
    ...(priority?.length ? { priority } : {}),
    ...(label?.length ? { label } : {}),
    ...(assignee?.length ? { assignee } : {}),
    ...(group ? { group } : {}),
  };
}

/** Whether a view leaves cards out. */
export function isNarrow({ group: _, ...filters }: View): boolean {
  return Object.keys(viewOf(filters)).length > 0;
}

/** Whether two views show the same; the order in which something was chosen makes no difference. */
export function isSame(one: View, other: View): boolean {
  const text = (view: View) =>
    JSON.stringify(viewOf(view), (_, value) => (Array.isArray(value) ? [...value].sort() : value));
  return text(one) === text(other);
}

/** Returns who has a card: the agent at work on it, then those it is assigned to. */
export function peopleOf(card: Card): string[] {
  return [...new Set(card.holder === null ? card.assignees : [card.holder, ...card.assignees])];
}

/** Whether a card is in a view: it has every word, and one of what was chosen of each kind. */
export function fits(card: Card, view: View): boolean {
  const title = card.title.toLowerCase();
  const words = view.q?.toLowerCase().split(/\s+/) ?? [];
  return (
    words.every((word) => title.includes(word)) &&
    hasOneOf([card.priority], view.priority) &&
    hasOneOf(card.labels, view.label) &&
    hasOneOf(orNobody(peopleOf(card)), view.assignee)
  );
}

/** Returns what a column shows of its cards. In a group their order stays; empty groups are left out. */
export function rowsOf(cards: readonly Card[], view: View, nameOf: (id: string) => string): Row[] {
  const shown = isNarrow(view) ? cards.filter((card) => fits(card, view)) : cards;
  if (view.group === undefined) return shown.map((card) => rowOf(card, ""));
  const groups = new Map<string, Card[]>();
  for (const card of shown) {
    const group = groupOf[view.group](card);
    const members = groups.get(group);
    if (members === undefined) groups.set(group, [card]);
    else members.push(card);
  }
  const order = [...groups.keys()].sort(inOrder(view.group, nameOf));
  return order.flatMap((group): Row[] => {
    const members = groups.get(group) ?? [];
    return [
      { kind: "head", group, count: members.length },
      ...members.map((card) => rowOf(card, group)),
    ];
  });
}

/** Returns what columns show, with the arrays of `before` for those that show the same as then: they need not be drawn. */
export function kept(
  before: ReadonlyMap<string, Row[]>,
  now: ReadonlyMap<string, Row[]>,
): Map<string, Row[]> {
  return new Map(
    [...now].map(([id, rows]) => {
      const then = before.get(id);
      return [id, then !== undefined && isSameRows(then, rows) ? then : rows];
    }),
  );
}

function isSameRows(one: readonly Row[], other: readonly Row[]): boolean {
  return one.length === other.length && one.every((row, index) => isSameRow(row, other[index]));
}

function isSameRow(one: Row, other: Row | undefined): boolean {
  if (one.kind === "card" || other?.kind !== "head") return one === other;
  return one.group === other.group && one.count === other.count;
}

/** By group. A card in a group is one object as long as the card is: a board of a thousand has each of its rows once. */
const known = new Map<string, WeakMap<Card, Row>>();

function rowOf(card: Card, group: string): Row {
  const rows = known.get(group) ?? new WeakMap<Card, Row>();
  const row = rows.get(card) ?? { kind: "card", card, group };
  known.set(group, rows.set(card, row));
  return row;
}

const groupOf: Record<Grouping, (card: Card) => string> = {
  priority: (card) => card.priority,
  assignee: (card) => orNobody(peopleOf(card))[0] ?? NOBODY,
};

function inOrder(group: Grouping, nameOf: (id: string) => string) {
  const order = PRIORITIES as readonly string[];
  if (group === "priority") return (a: string, b: string) => order.indexOf(a) - order.indexOf(b);
  return (a: string, b: string) =>
    Number(a === NOBODY) - Number(b === NOBODY) ||
    nameOf(a).localeCompare(nameOf(b)) ||
    compare(a, b);
}

const orNobody = (people: string[]) => (people.length === 0 ? [NOBODY] : people);

function hasOneOf(has: readonly string[], wanted: readonly string[] | undefined): boolean {
  return wanted === undefined || has.some((one) => wanted.includes(one));
}
