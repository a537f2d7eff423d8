import { Ellipsis, GripVertical } from "lucide-react";
import { type KeyboardEvent, type MouseEvent, memo } from "react";
import { cn } from "@/lib/text";
import type { Card, Column } from "@/models/types";
import { Menu, MenuItem, MenuLabel } from "@/ui/Menu";
import { StageMark } from "@/ui/marks";
import { CardFace } from "./CardFace";
import { useBoardContext } from "./context";
import { drag, useDragged, useRegistered } from "./handles";
import { moveInHand, type Target } from "./moves";
import { cardsOf, select, selectTo, toggle, useSelection } from "./selection";
import type { Row } from "./view";

const TOOL =
  "inline-flex size-6 items-center justify-center rounded-sm text-ink-3 hover:bg-hover hover:text-ink";

/** Over the title's end while a mouse is on the card; a finger has them at the end of the card's last row. */
const TOOLS =
  "absolute top-1 right-1 flex rounded-md border border-line bg-raised opacity-0 shadow-card focus-within:opacity-100 group-hover:opacity-100 has-aria-expanded:opacity-100 pointer-coarse:relative pointer-coarse:inset-auto pointer-coarse:-my-0.5 pointer-coarse:-mr-1 pointer-coarse:border-0 pointer-coarse:opacity-100 pointer-coarse:shadow-none";

/** A card on a board: a link to its mission, a handle to drag it by, and a menu that moves it. */
export const BoardCard = memo(function BoardCard({ card, group }: { card: Card; group: string }) {
  // Its board is asked for when something is done: a handler that had it would keep it as it was, with all its cards.
  const context = useBoardContext();
  const { columns, mayMove, rowsIn, opened, addressOf, open } = context;
  const handle = useRegistered("handles", card.id);
  const isDragged = useDragged(({ id }) => id === card.id);
  const isSelected = useSelection(({ ids }) => ids.has(card.id));
  const onKeyDown = (event: KeyboardEvent) => {
    // Its menu is elsewhere on the page, and has keys of its own.
    if (!event.currentTarget.contains(event.target as Node)) return;
    // While it is dragged, by its handle and the keyboard, the arrows are those of the drag.
    if (isDragged) return;
    if (mayMove && event.key === "a" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      select(
        cardsOf(rowsIn(card.column_id)).map(({ id }) => id),
        card.id,
      );
    } else if (event.altKey) {
      if (!mayMove || !event.key.startsWith("Arrow")) return;
      // At the board's ends, too: the browser would leave the page by these keys.
      event.preventDefault();
      const target = neighbour(event.key, card, columns, rowsIn);
      if (target !== null) void moveInHand(context.board, card.id, target);
    } else {
      const next = nextCard(event.key, card, columns, rowsIn);
      if (next === undefined) return;
      event.preventDefault();
      if (mayMove && event.shiftKey && next.column_id === card.column_id) {
        select([...useSelection.getState().ids, card.id, next.id], next.id);
      }
      document.querySelector<HTMLElement>(`[data-card="${next.id}"] a`)?.focus();
    }
  };
  const onClick = (event: MouseEvent) => {
    const isSelecting = mayMove && event.shiftKey;
    const isForBrowser = event.ctrlKey || event.metaKey || event.altKey || event.shiftKey;
    if (isForBrowser && !isSelecting) return; // a tab or window of its own
    event.preventDefault();
    if (isSelecting) selectTo(card.id, rowsIn(card.column_id));
    else open(card.id);
  };
  return (
    <article
      data-card={card.id}
      data-group={group}
      onKeyDown={onKeyDown}
      className={cn(
        "group relative rounded-md",
        isDragged && "opacity-40",
        isSelected
          ? "outline-2 -outline-offset-1 outline-accent"
          : // The one whose mission is open beside the board: the link knows.
            "-outline-offset-1 outline-line-strong has-[a[aria-current=page]]:outline-2",
      )}
    >
      <CardFace
        card={card}
        title={
          // Not the router's `Link`: each would follow the address by itself.
          <a
            href={addressOf(card.id)}
            aria-current={card.id === opened ? "page" : undefined}
            onClick={onClick}
            // Or the words between two cards would be selected, too.
            onMouseDown={(event) => event.shiftKey && event.preventDefault()}
            aria-description={isSelected ? "Selected" : undefined}
            className="outline-none after:absolute after:inset-0 after:rounded-md focus-visible:after:outline-2 focus-visible:after:outline-accent"
          >
            {card.title}
          </a>
        }
        tools={
          mayMove && (
            <span className={TOOLS}>
              <Menu
                align="end"
                trigger={
                  <button type="button" aria-label={`Move ${card.title} to`} className={TOOL}>
                    <Ellipsis size={14} aria-hidden />
                  </button>
                }
              >
                <MenuItem hint="X" onSelect={() => toggle(card.id)}>
                  {isSelected ? "Unselect" : "Select"}
                </MenuItem>
                <MenuLabel>Move to</MenuLabel>
                {columns.map((column) => (
                  <MenuItem
                    key={column.id}
                    checked={column.id === card.column_id}
                    disabled={column.id === card.column_id}
                    onSelect={() =>
                      void moveInHand(context.board, card.id, { columnId: column.id })
                    }
                  >
                    <StageMark stage={column.stage} />
                    {column.name}
                  </MenuItem>
                ))}
              </Menu>
              <button
                ref={handle}
                type="button"
                onPointerEnter={drag.load}
                onFocus={drag.load}
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

/** Returns the card that an arrow goes to: up or down in a column, or the first one of the column beside. */
function nextCard(
  key: string,
  card: Card,
  columns: Column[],
  rowsIn: (columnId: string) => readonly Row[],
): Card | undefined {
  const own = cardsOf(rowsIn(card.column_id));
  const at = own.findIndex(({ id }) => id === card.id);
  if (key === "ArrowUp") return own[at - 1];
  if (key === "ArrowDown") return own[at + 1];
  if (key !== "ArrowLeft" && key !== "ArrowRight") return undefined;
  const order = columns.map(({ id }) => cardsOf(rowsIn(id)));
  const beside = columns.findIndex(({ id }) => id === card.column_id);
  const others = key === "ArrowRight" ? order.slice(beside + 1) : order.slice(0, beside).reverse();
  // Columns that show nothing are passed over.
  return others.find((cards) => cards.length > 0)?.[0];
}
