import { useLocation, useNavigate } from "@tanstack/react-router";
import { type RefObject, startTransition, useEffect, useMemo, useRef, useState } from "react";
import { useDirectory, useMay } from "@/api/queries";
import { whenIdle } from "@/lib/later";
import { cn } from "@/lib/text";
import type { BoardState } from "@/models/board";
import { useShortcuts } from "@/shell/shortcuts";
import { BulkBar } from "./BulkBar";
import { COLUMN_PX, Column } from "./Column";
import { BoardContext, type Context } from "./context";
import { useView } from "./FilterBar";
import { Glide } from "./Glide";
import { drag, useDragged } from "./handles";
import { arranged, moveInHand, settle, type Target, usePending } from "./moves";
import { cardAtHand, cardsOf, select, toggle, useSelection } from "./selection";
import { kept, type Row, rowsOf } from "./view";

const Drag = drag.part((module) => module.Drag);

const NO_ROWS: readonly Row[] = [];
/** So long a card that was dropped stays put, whatever the board does. */
const SETTLED_MS = 500;

/** A board's columns side by side; cards are dragged, or moved by a menu or the keyboard. */
export function Board({ board, readOnly }: { board: BoardState; readOnly: boolean }) {
  const { moves } = usePending();
  const nameOf = useDirectory();
  const mayMove = useMay("create_missions") && !readOnly;
  const [target, setTarget] = useState<Target | null>(null);
  const isDragging = useDragged(({ id }) => id !== null);
  const { view } = useView();
  const columns = useMemo(() => arranged(board, moves), [board, moves]);
  const drawn = useRef<Map<string, Row[]>>(new Map());
  const rows = useMemo(() => {
    const name = (id: string) => nameOf(id).name;
    const now = new Map([...columns].map(([id, cards]) => [id, rowsOf(cards, view, name)]));
    drawn.current = kept(drawn.current, now);
    return drawn.current;
  }, [columns, view, nameOf]);
  // While a card is dragged the others stay: what comes meanwhile is shown when it is dropped.
  const held = useRef<Map<string, Row[]> | null>(null);
  const dropped = useRef<string | null>(null);
  useEffect(() => settle(board), [board]);
  const shown = held.current ?? rows;
  const latest = useRef(shown);
  latest.current = shown;
  const known = useRef(board);
  known.current = board;
  const links = useLinks();
  const context = useMemo(
    () => contextOf(known, latest, { nameOf, mayMove, columns: board.columns, ...links }),
    [board.columns, nameOf, mayMove, links],
  );
  const filled = useFilled(board.columns.length);
  const isWhole = filled >= board.columns.length;
  // When the board is painted: so that nothing is lost of the first drag.
  useEffect(() => (isWhole && mayMove ? whenIdle(drag.load) : undefined), [isWhole, mayMove]);
  const onStart = (cardId: string) => {
    held.current = rows;
    dropped.current = cardId;
  };
  const onEnd = (cardId: string, at: Target | null) => {
    held.current = null;
    setTimeout(() => {
      dropped.current = null;
    }, SETTLED_MS);
    setTarget(null);
    if (at !== null) void moveInHand(known.current, cardId, at);
  };
  return (
    <BoardContext value={context}>
      <div className="relative flex min-h-0 flex-1 flex-col">
        <Glide
          rows={shown}
          view={view}
          still={dropped}
          className={cn(
            "flex min-h-0 flex-1 scroll-px-3 gap-3 overflow-x-auto p-3 md:p-4",
            // A column that snaps back would keep a card that is dragged from going on to the next.
            !isDragging && "snap-x md:snap-none",
          )}
        >
          {board.columns.map((column, index) => (
            <Column
              key={column.id}
              column={column}
              rows={(index < filled && shown.get(column.id)) || NO_ROWS}
              fitting={cardsOf(rows.get(column.id) ?? []).length}
              total={columns.get(column.id)?.length ?? 0}
              target={target?.columnId === column.id ? target : null}
            />
          ))}
        </Glide>
        <Drag onStart={onStart} onOver={setTarget} onEnd={onEnd} />
        {mayMove && <Selected rows={shown} />}
      </div>
    </BoardContext>
  );
}

/** Returns how many columns have their cards: those in sight at once, the others one by one when there is time. */
function useFilled(columns: number): number {
  const [filled, setFilled] = useState(() =>
    Math.max(1, Math.round(window.innerWidth / COLUMN_PX)),
  );
  useEffect(() => {
    if (filled >= columns) return undefined;
    return whenIdle(() => startTransition(() => setFilled(filled + 1)));
  }, [filled, columns]);
  return filled;
}

/** Returns which mission is open beside the board, and how to open one: all that the address has stays in it. */
function useLinks(): Pick<Context, "opened" | "addressOf" | "open"> {
  const search = useLocation({ select: ({ searchStr }) => searchStr });
  const navigate = useNavigate();
  return useMemo(() => {
    const rest = new URLSearchParams(search);
    const opened = rest.get("mission") ?? undefined;
    rest.delete("mission");
    return {
      opened,
      addressOf: (mission) => `?${new URLSearchParams([...rest, ["mission", mission]])}`,
      open: (mission) => void navigate({ to: ".", search: (now) => ({ ...now, mission }) }),
    };
  }, [search, navigate]);
}

/**
 * Returns what cards know. Board and rows are asked for when something is done: not every card is drawn anew for
 * what happened to one of them, and none keeps what the board was before.
 */
function contextOf(
  board: RefObject<BoardState>,
  rows: RefObject<Map<string, Row[]>>,
  rest: Omit<Context, "board" | "rowsIn">,
): Context {
  return {
    ...rest,
    get board() {
      return board.current;
    },
    rowsIn: (columnId) => rows.current.get(columnId) ?? [],
  };
}

/** The keys that select cards, and what can be done with those that are selected and in sight. */
function Selected({ rows }: { rows: ReadonlyMap<string, readonly Row[]> }) {
  const { ids } = useSelection();
  const cards = useMemo(
    () =>
      ids.size === 0 ? [] : [...rows.values()].flatMap(cardsOf).filter(({ id }) => ids.has(id)),
    [rows, ids],
  );
  // Another board, or another moment: nothing of it was selected.
  useEffect(() => () => select([]), []);
  const group = "Board";
  // With Shift, Alt or in a column the card itself has the keys: it knows its neighbours.
  useShortcuts([
    { keys: "x", label: "Select the card", group, run: () => selectAtHand() },
    { keys: "Shift+Click", label: "Select up to a card", group, run: null },
    { keys: "Shift+↑ ↓", label: "Select on and on", group, run: null },
    { keys: "Ctrl+A", label: "Select the column", group, run: null },
    { keys: "↑ ↓ ← →", label: "Go to a card", group, run: null },
    { keys: "Alt+↑ ↓ ← →", label: "Move the card", group, run: null },
  ]);
  return cards.length === 0 ? null : <BulkBar cards={cards} />;
}

function selectAtHand(): void {
  const id = cardAtHand();
  if (id !== undefined) toggle(id);
}
