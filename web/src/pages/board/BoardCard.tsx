import { useDraggable } from "@dnd-kit/react";
import { Link } from "@tanstack/react-router";
import { Ellipsis, GripVertical } from "lucide-react";
import { type KeyboardEvent, memo } from "react";
import { cn } from "@/lib/text";
import type { Card, Column } from "@/models/types";
import { Menu, MenuItem, MenuLabel } from "@/ui/Menu";
import { StageMark } from "@/ui/marks";
import { CardFace } from "./CardFace";
import { useBoardContext } from "./context";
import { move, type Target } from "./moves";
import type { Row } from "./view";

const TOOL =
  "inline-flex size-6 items-center justify-center rounded-sm text-ink-3 hover:bg-hover hover:text-ink";

/** A card on a board: a link to its mission, a handle to drag it by, and a menu that moves it. */
export const BoardCard = memo(function BoardCard({ card, group }: { card: Card; group: string }) {
  const { board, columns, mayMove, rowsIn } = useBoardContext();
  const { ref, handleRef, isDragging } = useDraggable({ id: card.id, disabled: !mayMove });
  const onKeyDown = (event: KeyboardEvent) => {
    const target = mayMove && event.altKey ? neighbour(event.key, card, columns, rowsIn) : null;
    if (target === null) return;
    event.preventDefault();
    void move(board, card.id, target).then(() => refocus(card.id));
    refocus(card.id);
  };
  return (
    <article
      ref={ref}
      data-card={card.id}
      data-group={group}
      onKeyDown={onKeyDown}
      className={cn("group relative", isDragging && "opacity-40")}
    >
      <CardFace
        card={card}
        title={
          <Link
            to="."
            search={(now) => ({ ...now, mission: card.id })}
            preload={false}
            className="outline-none after:absolute after:inset-0 after:rounded-md focus-visible:after:outline-2 focus-visible:after:outline-accent"
          >
            {card.title}
          </Link>
        }
        tools={
          mayMove && (
            <span className="relative -mt-1 -mr-1 flex opacity-0 group-focus-within:opacity-100 group-hover:opacity-100 pointer-coarse:opacity-100 has-data-[state=open]:opacity-100">
              <Menu
                align="end"
                trigger={
                  <button type="button" aria-label={`Move ${card.title} to`} className={TOOL}>
                    <Ellipsis size={14} aria-hidden />
                  </button>
                }
              >
                <MenuLabel>Move to</MenuLabel>
                {columns.map((column) => (
                  <MenuItem
                    key={column.id}
                    checked={column.id === card.column_id}
                    disabled={column.id === card.column_id}
                    onSelect={() => void move(board, card.id, { columnId: column.id })}
                  >
                    <StageMark stage={column.stage} />
                    {column.name}
                  </MenuItem>
                ))}
              </Menu>
              <button
                ref={handleRef}
                type="button"
                aria-label={`Drag ${card.title}`}
                className={cn(TOOL, "cursor-grab touch-none active:cursor-grabbing")}
              >
                <GripVertical size={14} aria-hidden />
              </button>
            </span>
          )
        }
      />
    </article>
  );
});

/** Returns where Alt and an arrow take a card: a column aside, or a place up or down in its group. */
function neighbour(
  key: string,
  card: Card,
  columns: Column[],
  rowsIn: (columnId: string) => readonly Row[],
): Target | null {
  if (key === "ArrowLeft" || key === "ArrowRight") {
    const at = columns.findIndex(({ id }) => id === card.column_id);
    const column = columns[at + (key === "ArrowLeft" ? -1 : 1)];
    return column === undefined ? null : { columnId: column.id };
  }
  if (key !== "ArrowUp" && key !== "ArrowDown") return null;
  const rows = rowsIn(card.column_id);
  const at = rows.findIndex((row) => row.kind === "card" && row.card.id === card.id);
  const other = rows[at + (key === "ArrowUp" ? -1 : 1)];
  if (other?.kind !== "card") return null;
  return {
    columnId: card.column_id,
    ...(key === "ArrowUp" ? { before: other.card.id } : { after: other.card.id }),
  };
}

/** A card that changes its column is another element: the focus goes with it. */
function refocus(cardId: string): void {
  requestAnimationFrame(() =>
    requestAnimationFrame(() =>
      document.querySelector<HTMLElement>(`[data-card="${cardId}"] a`)?.focus(),
    ),
  );
}
