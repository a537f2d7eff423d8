import { useDroppable } from "@dnd-kit/react";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useRef } from "react";
import { cn } from "@/lib/text";
import type { Card, Column as ColumnFacts } from "@/models/types";
import { StageMark } from "@/ui/marks";
import { BoardCard } from "./BoardCard";
import { useBoardContext } from "./context";
import type { Target } from "./moves";
import { QuickAdd } from "./QuickAdd";

const CARD_PX = 92;
const GAP_PX = 6;
const OVERSCAN = 6;

/** A column: its name, how many cards it has of how many it may have, and those of them that are in sight. */
export function Column({
  column,
  cards,
  target,
}: {
  column: ColumnFacts;
  cards: Card[];
  target: Target | null;
}) {
  const { mayMove } = useBoardContext();
  const { ref } = useDroppable({ id: column.id });
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: cards.length,
    getScrollElement: () => scroller.current,
    getItemKey: (index) => cards[index]?.id ?? index,
    estimateSize: () => CARD_PX,
    gap: GAP_PX,
    overscan: OVERSCAN,
  });
  const isFull = column.wip_limit !== null && cards.length >= column.wip_limit;
  return (
    <section
      ref={ref}
      aria-label={column.name}
      data-column={column.id}
      className={cn(
        "flex w-72 shrink-0 snap-start flex-col rounded-lg bg-surface max-sm:w-[85vw]",
        target !== null && "ring-1 ring-accent",
      )}
    >
      <header className="flex h-10 shrink-0 items-center gap-2 px-3">
        <StageMark stage={column.stage} />
        <h2 className="truncate font-medium">{column.name}</h2>
        <span
          title={column.wip_limit === null ? undefined : `At most ${column.wip_limit} at a time`}
          className={cn("tabular text-sm", isFull ? "font-medium text-warn" : "text-ink-3")}
        >
          {cards.length}
          {column.wip_limit !== null && ` / ${column.wip_limit}`}
        </span>
      </header>
      <div ref={scroller} className="min-h-0 flex-1 overflow-y-auto px-1.5 pb-1.5">
        <ul className="relative" style={{ height: virtual.getTotalSize() }}>
          {virtual.getVirtualItems().map((item) => {
            const card = cards[item.index];
            if (card === undefined) return null;
            return (
              <li
                key={item.key}
                data-index={item.index}
                ref={virtual.measureElement}
                className="absolute inset-x-0 top-0"
                style={{ transform: `translateY(${item.start}px)` }}
              >
                {target?.before === card.id && <Line where="-top-1" />}
                <BoardCard card={card} />
                {target?.after === card.id && <Line where="-bottom-1" />}
              </li>
            );
          })}
        </ul>
        {cards.length === 0 && (
          <p className="px-2 py-6 text-center text-sm text-ink-3">No missions here</p>
        )}
      </div>
      {mayMove && <QuickAdd column={column} />}
    </section>
  );
}

function Line({ where }: { where: string }) {
  return <div className={cn("absolute inset-x-1 z-10 h-0.5 rounded-full bg-accent", where)} />;
}
