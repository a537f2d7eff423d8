import { createContext, use } from "react";
import type { Someone } from "@/api/queries";
import type { BoardState } from "@/models/board";
import type { Column } from "@/models/types";
import type { Row } from "./view";

export type Context = {
  board: BoardState;
  columns: Column[];
  /** What a column shows right now, in order. */
  rowsIn: (columnId: string) => readonly Row[];
  nameOf: (id: string) => Someone;
  /** Whether whoever is signed in may move cards, and the moment that is shown is now. */
  mayMove: boolean;
  /** The mission that is open beside the board. */
  opened: string | undefined;
  /** Where the board is with a mission beside it. */
  addressOf: (missionId: string) => string;
  open: (missionId: string) => void;
};

export const BoardContext = createContext<Context | null>(null);

/** What every card and column of a board knows. */
export function useBoardContext(): Context {
  const context = use(BoardContext);
  if (context === null) throw new Error("a card stands on a board");
  return context;
}
