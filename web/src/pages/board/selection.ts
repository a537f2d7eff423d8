import { create } from "zustand";
import type { Card } from "@/models/types";
import { announce } from "@/ui/announce";
import type { Row } from "./view";

/** The cards that are chosen to do something with, and the one from which Shift goes on. */
export const useSelection = create<{ ids: ReadonlySet<string>; anchor: string | null }>(() => ({
  ids: new Set(),
  anchor: null,
}));

/** Chooses just these cards. */
export function select(ids: Iterable<string>, anchor: string | null = null): void {
  const chosen = new Set(ids);
  if (chosen.size === 0 && useSelection.getState().ids.size === 0) return;
  useSelection.setState({ ids: chosen, anchor });
  announce(chosen.size === 0 ? "Nothing selected" : `${chosen.size} selected`);
}

/** Chooses a card, or no longer. */
export function toggle(id: string): void {
  const ids = new Set(useSelection.getState().ids);
  if (!ids.delete(id)) ids.add(id);
  select(ids, id);
}

/** Chooses every card from the one that was chosen last to another; in two columns, just that other one. */
export function selectTo(id: string, rows: readonly Row[]): void {
  const { ids, anchor } = useSelection.getState();
  select([...ids, ...between(anchor, id, rows)], id);
}

/** Returns the cards of a column from one to another, both with it. */
export function between(from: string | null, to: string, rows: readonly Row[]): string[] {
  const column = cardsOf(rows).map((card) => card.id);
  const [a, b] = [column.indexOf(from ?? to), column.indexOf(to)];
  return a < 0 || b < 0 ? [to] : column.slice(Math.min(a, b), Math.max(a, b) + 1);
}

/** Returns the cards among what a column shows. */
export function cardsOf(rows: readonly Row[]): Card[] {
  return rows.flatMap((row) => (row.kind === "card" ? [row.card] : []));
}

/** Returns the card that a key is meant for: the one with the focus, or else under the pointer. */
export function cardAtHand(): string | undefined {
  const at =
    document.activeElement?.closest<HTMLElement>("[data-card]") ??
    document.querySelector<HTMLElement>("[data-card]:hover");
  return at?.dataset.card;
}

/**
 * Gives a card the focus when it is drawn: one that changed its column is another element. Where it has gone
 * from the board, and the focus with it, the first one has it.
 */
export function focusCard(id: string): void {
  const link = (card: string) => document.querySelector<HTMLElement>(`[data-card${card}] a`);
  requestAnimationFrame(() =>
    requestAnimationFrame(() => {
      const isLost = document.activeElement === document.body;
      (link(`="${id}"`) ?? (isLost ? link("") : null))?.focus();
    }),
  );
}

/** Gives the focus to the card that is next to some which are about to go. */
export function focusBeside(cards: readonly Card[]): void {
  const going = new Set(cards.map(({ id }) => id));
  const drawn = [...document.querySelectorAll<HTMLElement>("[data-card]")].map(
    ({ dataset }) => dataset.card ?? "",
  );
  const at = drawn.findIndex((id) => going.has(id));
  const stays = (id: string) => !going.has(id);
  const beside = drawn.slice(at).find(stays) ?? drawn.slice(0, at).findLast(stays);
  if (beside !== undefined) focusCard(beside);
}
