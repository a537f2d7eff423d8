import { create } from "zustand";
import { api, body, type Done } from "@/api/client";
import { isUnknown, problemOf } from "@/api/problem";
import { type BoardState, byColumn } from "@/models/board";
import type { Card } from "@/models/types";
import { announce, toast } from "@/ui/announce";
import { focusCard } from "./selection";

/** Where a card is put: before or after a neighbour, or at the end of a column. */
export type Target = { columnId: string; before?: string; after?: string };

type Pending = {
  target: Target;
  /** The version that the server gave it; null until it answered. */
  version: number | null;
};

/** Moves that were made here and that the board's events have not told yet, by card. */
export const usePending = create<{ moves: ReadonlyMap<string, Pending> }>(() => ({
  moves: new Map(),
}));

/**
 * Moves a card: at once on this screen, and for good when the server's event comes. A refusal puts it back and
 * says why. Returns whether it is moved.
 */
export async function move(board: BoardState, cardId: string, target: Target): Promise<boolean> {
  const card = board.cards.get(cardId);
  const column = board.columns.find(({ id }) => id === target.columnId);
  if (card === undefined || column === undefined) return false;
  try {
    await place(board, cardId, target);
    announce(`${card.title}: moved to ${column.name}`);
    return true;
  } catch (error) {
    const words = isUnknown(error)
      ? `It isn't known whether “${card.title}” was moved: no answer came.`
      : `“${card.title}” stays where it was: ${problemOf(error).message}`;
    toast(words, "bad");
    return false;
  }
}

/** Moves the card that somebody has in hand, and the focus with it. */
export async function moveInHand(board: BoardState, cardId: string, target: Target): Promise<void> {
  const moving = move(board, cardId, target);
  focusCard(cardId);
  const isMoved = await moving;
  // A refusal has put it back, which made it another element. Of a move, whoever made it may have gone on by now.
  if (!isMoved && document.activeElement === document.body) focusCard(cardId);
}

/**
 * Moves a card without a word; a refusal puts it back, and is thrown. A neighbour may have left the column since
 * it was pointed at, or just now: then the card goes to the column's end, as it is the column that was meant.
 */
export async function place(board: BoardState, cardId: string, wanted: Target): Promise<void> {
  if (!board.cards.has(cardId)) return;
  let target = standing(board, usePending.getState().moves, wanted);
  try {
    await put(cardId, target).catch((error) => {
      if (!isOfNeighbour(error) || !isNewest(cardId, target)) throw error;
      target = { columnId: target.columnId };
      return put(cardId, target);
    });
  } catch (error) {
    if (isNewest(cardId, target)) drop(cardId);
    throw error;
  }
}

async function put(cardId: string, target: Target): Promise<void> {
  set(cardId, { target, version: null });
  const { columnId, ...beside } = target;
  const done = await inTurn(cardId, () =>
    body<Done>(
      api.PUT("/api/missions/{mission_id}/move", {
        params: { path: { mission_id: cardId } },
        body: { column_id: columnId, ...beside },
      }),
    ),
  );
  // Moved on meanwhile, it is not put back to where it was on its way.
  if (isNewest(cardId, target)) set(cardId, { target, version: done.version });
}

/** Whether a card was not moved again since. */
function isNewest(cardId: string, target: Target): boolean {
  return usePending.getState().moves.get(cardId)?.target === target;
}

/** The newest command of each card that is on its way. */
const onTheirWay = new Map<string, Promise<unknown>>();

/** Sends a card's commands one after the other: two at once may arrive in any order. */
async function inTurn<T>(cardId: string, send: () => Promise<T>): Promise<T> {
  const before = onTheirWay.get(cardId);
  const sent = before === undefined ? send() : before.then(send, send);
  onTheirWay.set(cardId, sent);
  try {
    return await sent;
  } finally {
    if (onTheirWay.get(cardId) === sent) onTheirWay.delete(cardId);
  }
}

/** Whether the server refuses a move as the neighbour is not in the column. */
function isOfNeighbour(error: unknown): boolean {
  const { status, field } = problemOf(error);
  return status === 422 && (field === "before" || field === "after");
}

/** Returns where a card can be put: beside its neighbour if that is still in the column, or else at the end. */
export function standing(
  board: BoardState,
  moves: ReadonlyMap<string, Pending>,
  target: Target,
): Target {
  const { columnId, before, after } = target;
  const neighbour = before ?? after;
  if (neighbour === undefined || columnOf(board, moves, neighbour) === columnId) return target;
  return { columnId };
}

/** Returns the column that a card is in, with its pending move made. */
export function columnOf(
  board: BoardState,
  moves: ReadonlyMap<string, Pending>,
  cardId: string,
): string | undefined {
  const card = board.cards.get(cardId);
  return card && (moves.get(cardId)?.target.columnId ?? card.column_id);
}

/** Forgets what the board has caught up with. */
export function settle(board: BoardState): void {
  for (const [id, { version }] of usePending.getState().moves) {
    const card = board.cards.get(id);
    if (version !== null && (card === undefined || card.version >= version)) drop(id);
  }
}

/** Returns the cards of each column in order, with the pending moves made. */
export function arranged(
  board: BoardState,
  moves: ReadonlyMap<string, Pending>,
): Map<string, Card[]> {
  const columns = byColumn(board);
  for (const [id, { target }] of moves) {
    const card = board.cards.get(id);
    const column = board.columns.find((known) => known.id === target.columnId);
    const into = columns.get(target.columnId);
    if (card === undefined || column === undefined || into === undefined) continue;
    const from = columns.get(card.column_id);
    from?.splice(from.indexOf(card), 1);
    const moved = { ...card, column_id: column.id, stage: column.stage };
    into.splice(indexIn(into, target), 0, moved);
  }
  return columns;
}

function indexIn(cards: Card[], { before, after }: Target): number {
  const index = cards.findIndex(({ id }) => id === (before ?? after));
  if (index < 0) return cards.length;
  return before === undefined ? index + 1 : index;
}

function set(id: string, pending: Pending): void {
  usePending.setState(({ moves }) => ({ moves: new Map(moves).set(id, pending) }));
}

function drop(id: string): void {
  usePending.setState(({ moves }) => {
    const left = new Map(moves);
    left.delete(id);
    return { moves: left };
  });
}
