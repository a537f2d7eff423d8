import { api } from "@/api/client";
import { problemOf } from "@/api/problem";
import type { BoardState } from "@/models/board";
import type { Card, Column, Priority } from "@/models/types";
import { progress } from "@/ui/announce";
import { place } from "./moves";
import { select } from "./selection";

export type Refused = { title: string; message: string };

const path = ({ id }: Card) => ({ path: { mission_id: id } });

/** Moves missions to the end of a column, in their order. */
export const moveAll = (board: BoardState, cards: Card[], column: Column) =>
  each(
    cards.filter((card) => card.column_id !== column.id),
    { doing: `Moving to ${column.name}`, done: `moved to ${column.name}` },
    (card) => place(board, card.id, { columnId: column.id }),
  );

/** Assigns missions to somebody, beside whoever they are assigned to. */
export const assignAll = (cards: Card[], who: { id: string; name: string }) =>
  each(
    cards.filter((card) => !card.assignees.includes(who.id)),
    { doing: `Assigning to ${who.name}`, done: `assigned to ${who.name}` },
    (card) =>
      api.POST("/api/missions/{mission_id}/assign", {
        params: path(card),
        body: { assignee_id: who.id },
      }),
  );

/** Takes everybody off missions. */
export const unassignAll = (cards: Card[]) =>
  each(
    cards.filter((card) => card.assignees.length > 0),
    { doing: "Unassigning", done: "assigned to nobody" },
    async (card) => {
      for (const assignee of card.assignees) {
        await api.POST("/api/missions/{mission_id}/unassign", {
          params: path(card),
          body: { assignee_id: assignee },
        });
      }
    },
  );

/** Gives missions a priority, whatever else somebody writes about them meanwhile. */
export const prioritiseAll = (cards: Card[], priority: Priority) =>
  each(
    cards.filter((card) => card.priority !== priority),
    { doing: "Setting the priority", done: `set to ${priority} priority` },
    (card) => api.PUT("/api/missions/{mission_id}", { params: path(card), body: { priority } }),
  );

export const cancelAll = (cards: Card[]) =>
  each(cards, { doing: "Cancelling", done: "cancelled" }, (card) =>
    api.DELETE("/api/missions/{mission_id}", { params: path(card) }),
  );

/**
 * Sends a command for each mission, one after the other. One toast tells how far it is and what was refused;
 * the refused ones stay selected.
 */
async function each(
  cards: Card[],
  { doing, done }: { doing: string; done: string },
  command: (card: Card) => Promise<unknown>,
): Promise<void> {
  const tell = progress(`${doing}…`);
  const refused: (Refused & { id: string })[] = [];
  for (const [index, card] of cards.entries()) {
    if (index > 0) tell(`${doing}: ${index} of ${cards.length}`);
    try {
      await command(card);
    } catch (error) {
      refused.push({ id: card.id, title: card.title, message: problemOf(error).message });
    }
  }
  select(refused.map(({ id }) => id));
  tell(outcome(cards.length, refused, done), refused.length === 0 ? "plain" : "bad");
}

/** Returns what came of it, in words: how many, and why the others not. */
export function outcome(count: number, refused: readonly Refused[], done: string): string {
  if (count === 0) return `Nothing to do: already ${done}`;
  const missions = count === 1 ? "mission" : "missions";
  const [first] = refused;
  if (first === undefined) return `${count} ${missions} ${done}`;
  const others = refused.length - 1;
  const which = others === 0 ? `“${first.title}”` : `“${first.title}” and ${others} more`;
  return `${count - refused.length} of ${count} ${missions} ${done}. Not ${which}: ${first.message}`;
}
