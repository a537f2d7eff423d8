import { compare } from "@/lib/text";
import { type Data, fold, type LiveEvent, type Table } from "./events";
import { MISSION } from "./missions";
import type { Card, Column } from "./types";

/** A board: its columns from left to right, and every card by id. */
export type BoardState = {
  id: string;
  name: string;
  version: number;
  columns: Column[];
  cards: ReadonlyMap<string, Card>;
};

/** A board's document, as `GET /api/missions/board` answers it. */
export type BoardDocument = {
  id: string;
  name: string;
  version: number;
  position: number;
  /** When the event there was recorded; only of the past. */
  as_of?: string | null;
  columns: (Column & { cards: Card[] })[];
};

/** Returns a document as the state that events are applied to. */
export function boardOf(document: BoardDocument): BoardState {
  return {
    id: document.id,
    name: document.name,
    version: document.version,
    columns: document.columns.map(({ cards: _, ...column }) => column),
    cards: new Map(
      document.columns.flatMap((column) => column.cards.map((card) => [card.id, card])),
    ),
  };
}

/** Returns the cards of each column, in order. A card whose column is not known (yet) is in none. */
export function byColumn(state: BoardState): Map<string, Card[]> {
  const columns = new Map<string, Card[]>(state.columns.map((column) => [column.id, []]));
  for (const card of state.cards.values()) columns.get(card.column_id)?.push(card);
  for (const cards of columns.values()) {
    cards.sort((a, b) => compare(a.rank, b.rank) || compare(a.id, b.id));
  }
  return columns;
}

/** Applies a batch of events, in order; the same state comes back where none of them changes it. */
export function applyToBoard(state: BoardState, events: readonly LiveEvent[]): BoardState {
  let board = state;
  let cards: Map<string, Card> | null = null;
  for (const event of events) {
    if (event.event.startsWith("board.")) {
      if (event.payload.entityId === board.id) board = applyToColumns(board, event);
    } else if (event.event.startsWith("mission.")) {
      const known = cards ?? state.cards;
      const before = known.get(event.payload.entityId);
      const after = cardAfter(board.id, before, event);
      if (after === before) continue;
      cards ??= new Map(state.cards);
      if (after === undefined) cards.delete(event.payload.entityId);
      else cards.set(after.id, after);
    }
  }
  return cards === null ? board : { ...board, cards };
}

function cardAfter(boardId: string, card: Card | undefined, event: LiveEvent): Card | undefined {
  if (card === undefined) return arriving(boardId, event);
  const { deleted, ...row } = fold<Card & { deleted?: boolean }>(MISSION, card, event);
  if (row.version === card.version) return card;
  return deleted === true || row.board_id !== boardId ? undefined : row;
}

/** Returns the card that an event brings to a board, if it brings one. */
function arriving(boardId: string, event: LiveEvent): Card | undefined {
  if (event.event === "mission.created.v1") {
    const data = event.payload.data as Data["mission.created.v1"];
    return data.board_id === boardId ? created(event, data) : undefined;
  }
  if (event.event !== "mission.moved.v1") return undefined;
  const data = event.payload.data as Data["mission.moved.v1"];
  if (data.board_id !== boardId || data.card === null) return undefined;
  const { content, ...carried } = data.card;
  const base = created(event, { ...data, content, assignees: carried.assignees, created_by: "" });
  return { ...base, ...carried, holder: null, lease_token: null };
}

function created(event: LiveEvent, data: Data["mission.created.v1"]): Card {
  const { description: _, ...content } = data.content;
  return {
    id: event.payload.entityId,
    version: event.v,
    board_id: data.board_id,
    column_id: data.column_id,
    stage: data.stage,
    rank: data.rank,
    ...content,
    assignees: data.assignees,
    holder: null,
    lease_token: null,
    progress_percent: 0,
    progress_note: null,
    dependencies: [],
    unmet_dependencies: [],
    blocked_reason: null,
    failures: 0,
    submitted_by: null,
    summary: null,
    completed: data.stage === "done",
    created_by: data.created_by,
    created_at: event.payload.timestamp,
    updated_at: event.payload.timestamp,
    stale: false,
  };
}

const inOrder = (columns: Column[]) =>
  columns.sort((a, b) => compare(a.rank, b.rank) || compare(a.id, b.id));
const changed = (board: BoardState, id: string, change: Partial<Column>): BoardState => ({
  ...board,
  columns: inOrder(board.columns.map((c) => (c.id === id ? { ...c, ...change } : c))),
});

const COLUMNS: Table<BoardState & { updated_at: string }> = {
  "board.renamed.v1": (board, { name }) => ({ ...board, name }),
  "board.column_added.v1": (board, { column }) => ({
    ...board,
    columns: inOrder([...board.columns, column]),
  }),
  "board.column_renamed.v1": (board, { column_id, name }) => ({
    ...board,
    ...changed(board, column_id, { name }),
  }),
  "board.column_moved.v1": (board, { column_id, rank }) => ({
    ...board,
    ...changed(board, column_id, { rank }),
  }),
  "board.wip_limit_set.v1": (board, { column_id, wip_limit }) => ({
    ...board,
    ...changed(board, column_id, { wip_limit }),
  }),
  "board.column_removed.v1": (board, { column_id }) => ({
    ...board,
    columns: board.columns.filter((column) => column.id !== column_id),
  }),
};

function applyToColumns(board: BoardState, event: LiveEvent): BoardState {
  const { updated_at: _, ...after } = fold(COLUMNS, { ...board, updated_at: "" }, event);
  return after.version === board.version ? board : after;
}
