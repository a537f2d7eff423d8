import type { Virtualizer } from "@tanstack/react-virtual";
import { useEffect, useState } from "react";
import type { Column } from "@/models/types";
import { announce, toast } from "@/ui/announce";
import { useBoardContext } from "./context";
import { useShowAll } from "./FilterBar";
import { useDragged } from "./handles";

/**
 * Returns what shows a card that was added to a column, once the board has it: the column scrolls there, and those
 * who don't see it hear of it. Where the view leaves it out, that is said, with a way to see it.
 */
export function useAdded(
  column: Column,
  virtual: Virtualizer<HTMLDivElement, Element>,
): (cardId: string) => void {
  const context = useBoardContext();
  const showAll = useShowAll();
  const [added, setAdded] = useState<{ id: string; isAsked: boolean } | null>(null);
  // Whenever the column is drawn: what it waits for is the card's event, or the address.
  useEffect(() => {
    const card = added && context.board.cards.get(added.id);
    // While one is dragged, the column stays as it is.
    if (!card || useDragged.getState().id !== null) return;
    const index = context
      .rowsIn(column.id)
      .findIndex((row) => row.kind === "card" && row.card.id === card.id);
    const isHidden = index < 0 && card.column_id === column.id;
    if (isHidden && added.isAsked) return;
    setAdded(null);
    if (isHidden) {
      toast(`“${card.title}” was added to ${column.name}, and is not in this view`, "plain", {
        label: "Show it",
        run: () => {
          showAll();
          setAdded({ id: card.id, isAsked: true });
        },
      });
      return;
    }
    if (index >= 0) virtual.scrollToIndex(index);
    announce(`${card.title}: added to ${column.name}`);
  });
  return (id) => setAdded({ id, isAsked: false });
}
