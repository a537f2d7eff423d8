import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useRef } from "react";
import { cn } from "@/lib/text";
import { type Column as ColumnFacts, PRIORITIES, PRIORITY_NAME } from "@/models/types";
import { Avatar, PriorityMark, StageMark } from "@/ui/marks";
import { VirtualRows } from "@/ui/VirtualRows";
import { BoardCard } from "./BoardCard";
import { useBoardContext } from "./context";
import { useRegistered } from "./handles";
import type { Target } from "./moves";
import { QuickAdd } from "./QuickAdd";
import { useAdded } from "./useAdded";
import { NOBODY, type Row } from "./view";

/** As wide as it is at least: `w-72`. */
export const COLUMN_PX = 288;
const CARD_PX = 92;
const HEAD_PX = 28;
const GAP_PX = 6;
const OVERSCAN = 3;
/** Of a page's height, what is over and under the cards of a column: bars, its head, the timeline. */
const AROUND_PX = 240;

/** A column: its name, how many cards it has of how many it may have, and those of them that are in sight. */
export const Column = memo(function Column({
  column,
  rows,
  fitting,
  total,
  target,
}: {
  column: ColumnFacts;
  /** What is drawn; while a card is dragged, as it was before. */
  rows: readonly Row[];
  /** How many cards of it the view has. */
  fitting: number;
  /** How many cards it has, those that the view leaves out among them. */
  total: number;
  target: Target | null;
}) {
  const { mayMove } = useBoardContext();
  const ref = useRegistered("columns", column.id);
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    getItemKey: (index) => {
      const row = rows[index];
      return row === undefined ? index : row.kind === "card" ? row.card.id : `head ${row.group}`;
    },
    estimateSize: (index) => (rows[index]?.kind === "head" ? HEAD_PX : CARD_PX),
    gap: GAP_PX,
    overscan: OVERSCAN,
    // Until it is measured: so that the first cards are there at once.
    initialRect: { width: COLUMN_PX, height: window.innerHeight - AROUND_PX },
  });
  const showAdded = useAdded(column, virtual);
  const isFull = column.wip_limit !== null && total >= column.wip_limit;
  return (
    <section
      ref={ref}
      aria-label={column.name}
      data-column={column.id}
      className={cn(
        "flex w-72 max-w-md shrink-0 grow snap-start flex-col rounded-lg bg-surface max-sm:w-[85vw]",
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
          {fitting < total ? `${fitting} of ${total}` : total}
          {fitting === total && column.wip_limit !== null && ` / ${column.wip_limit}`}
        </span>
      </header>
      <div
        ref={scroller}
        className="min-h-0 flex-1 overflow-x-hidden overflow-y-auto px-1.5 pt-0.5 pb-1.5"
      >
        <VirtualRows virtual={virtual}>
          {(index) => {
            const row = rows[index];
            if (row === undefined) return undefined;
            return row.kind === "head" ? (
              <GroupHead group={row.group} count={row.count} />
            ) : (
              <>
                {target?.before === row.card.id && <Line where="-top-1" />}
                <BoardCard card={row.card} group={row.group} />
                {target?.after === row.card.id && <Line where="-bottom-1" />}
              </>
            );
          }}
        </VirtualRows>
        {rows.length === 0 && fitting === 0 && (
          <p className="px-2 py-6 text-center text-sm text-ink-3">
            {total === 0 ? "No missions here" : "None of these is in this view"}
          </p>
        )}
      </div>
      {mayMove && <QuickAdd column={column} onAdded={showAdded} />}
    </section>
  );
});

/** The head of a group in a column: a priority, or somebody. */
function GroupHead({ group, count }: { group: string; count: number }) {
  const { nameOf } = useBoardContext();
  const priority = PRIORITIES.find((each) => each === group);
  const name =
    priority !== undefined
      ? PRIORITY_NAME[priority]
      : group === NOBODY
        ? "Nobody"
        : nameOf(group).name;
  return (
    <h3 className="flex h-7 items-center gap-2 px-1.5 text-sm font-medium text-ink-2">
      {priority !== undefined && <PriorityMark priority={priority} />}
      {priority === undefined && group !== NOBODY && <Avatar who={nameOf(group)} />}
      <span className="truncate">{name}</span>
      <span className="tabular font-normal text-ink-3">{count}</span>
    </h3>
  );
}

function Line({ where }: { where: string }) {
  return <div className={cn("absolute inset-x-1 z-10 h-0.5 rounded-full bg-accent", where)} />;
}
