import { StyleInjector } from "@dnd-kit/dom";
import { DragDropProvider, DragOverlay } from "@dnd-kit/react";
import { useEffect, useMemo, useRef, useState } from "react";
import { useDirectory, useMay } from "@/api/queries";
import type { BoardState } from "@/models/board";
import type { Card } from "@/models/types";
import { CardFace } from "./CardFace";
import { Column } from "./Column";
import { BoardContext } from "./context";
import { arranged, move, settle, type Target, usePending } from "./moves";

const NONCE = document.querySelector<HTMLMetaElement>("meta[property=csp-nonce]")?.nonce ?? "";

/** A board's columns side by side; cards are dragged, or moved by a menu or the keyboard. */
export function Board({ board, readOnly }: { board: BoardState; readOnly: boolean }) {
  const { moves } = usePending();
  const nameOf = useDirectory();
  const mayMove = useMay("create_missions") && !readOnly;
  const [target, setTarget] = useState<Target | null>(null);
  const columns = useMemo(() => arranged(board, moves), [board, moves]);
  // While a card is dragged the others stay: what comes meanwhile is shown when it is dropped.
  const held = useRef<Map<string, Card[]> | null>(null);
  useEffect(() => settle(board), [board]);
  const shown = held.current ?? columns;
  const context = useMemo(
    () => ({ board, nameOf, mayMove, columns: board.columns }),
    [board, nameOf, mayMove],
  );
  return (
    <BoardContext value={context}>
      <DragDropProvider
        plugins={(defaults) => [...defaults, StyleInjector.configure({ nonce: NONCE })]}
        onDragStart={() => {
          held.current = columns;
        }}
        onDragMove={({ operation }) => {
          const { current } = operation.position;
          const over = operation.target?.id;
          setTarget(
            over === undefined
              ? null
              : targetAt(String(over), current.y, String(operation.source?.id)),
          );
        }}
        onDragEnd={({ operation, canceled }) => {
          held.current = null;
          setTarget(null);
          const id = operation.source?.id;
          if (!canceled && target !== null && id !== undefined)
            void move(board, String(id), target);
        }}
      >
        <div className="flex min-h-0 flex-1 snap-x gap-3 overflow-x-auto p-3 md:snap-none md:p-4">
          {board.columns.map((column) => (
            <Column
              key={column.id}
              column={column}
              cards={shown.get(column.id) ?? []}
              target={target?.columnId === column.id ? target : null}
            />
          ))}
        </div>
        <DragOverlay dropAnimation={null}>
          {(source) => {
            const card = board.cards.get(String(source.id));
            return card === undefined ? null : (
              <div className="rotate-1 rounded-md shadow-overlay">
                <CardFace card={card} />
              </div>
            );
          }}
        </DragOverlay>
      </DragDropProvider>
    </BoardContext>
  );
}

/** Returns where a card would be put: before the first one whose middle is below the pointer, or at the end. */
function targetAt(columnId: string, y: number, dragged: string): Target {
  const list = document.querySelector(`[data-column="${columnId}"]`);
  for (const element of list?.querySelectorAll<HTMLElement>("[data-card]") ?? []) {
    const id = element.dataset.card;
    if (id === undefined || id === dragged) continue;
    const { top, height } = element.getBoundingClientRect();
    if (y < top + height / 2) return { columnId, before: id };
  }
  const last = [...(list?.querySelectorAll<HTMLElement>("[data-card]") ?? [])]
    .filter((element) => element.dataset.card !== dragged)
    .at(-1)?.dataset.card;
  return last === undefined ? { columnId } : { columnId, after: last };
}
