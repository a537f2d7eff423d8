import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, type Ref, useEffect, useImperativeHandle, useRef } from "react";
import { boardsQuery } from "@/api/queries";
import { remember } from "@/lib/recent";
import { cn } from "@/lib/text";
import { absolute, relative } from "@/lib/time";
import { VirtualRows } from "@/ui/VirtualRows";
import { KIND_ICONS, KIND_NAMES } from "./kinds";
import { Marked } from "./Marked";
import type { Hit } from "./query";

const ROW_PX = 64;
const OVERSCAN = 8;
/** More is asked for when so many rows are left. */
const AHEAD = 10;

/** What was found; more is loaded towards its end. Arrows go from one to the next. */
export function Results({
  ref,
  hits,
  isStale,
  hasMore,
  isLoadingMore,
  onMore,
}: {
  ref: Ref<HTMLDivElement>;
  hits: Hit[];
  isStale: boolean;
  hasMore: boolean;
  isLoadingMore: boolean;
  onMore: () => void;
}) {
  const scroller = useRef<HTMLDivElement>(null);
  useImperativeHandle(ref, () => scroller.current as HTMLDivElement);
  const virtual = useVirtualizer({
    count: hits.length,
    getScrollElement: () => scroller.current,
    getItemKey: (index) => hits[index]?.id ?? index,
    estimateSize: () => ROW_PX,
    overscan: OVERSCAN,
  });
  const last = virtual.getVirtualItems().at(-1)?.index ?? 0;
  useEffect(() => {
    if (hasMore && !isLoadingMore && last >= hits.length - AHEAD) onMore();
  }, [hasMore, isLoadingMore, last, hits.length, onMore]);
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const row = (event.target as HTMLElement).closest<HTMLElement>("[data-index]");
    if (step === undefined || row === null) return;
    event.preventDefault();
    const next = Number(row.dataset.index) + step;
    virtual.scrollToIndex(Math.max(0, Math.min(next, hits.length - 1)));
    scroller.current?.querySelector<HTMLElement>(`[data-index="${next}"] a`)?.focus();
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the keys go from one link to the next
    <div
      ref={scroller}
      onKeyDown={onKeyDown}
      className={cn("min-h-0 flex-1 overflow-y-auto", isStale && "opacity-60")}
    >
      <VirtualRows virtual={virtual}>
        {(index) => {
          const hit = hits[index];
          if (hit === undefined) return undefined;
          return <Result hit={hit} />;
        }}
      </VirtualRows>
      <p role="status" className="px-4 py-3 text-center text-sm text-ink-3">
        {isLoadingMore ? "Loading more" : hasMore ? "" : "That is all."}
      </p>
    </div>
  );
}

function Result({ hit }: { hit: Hit }) {
  const { data: boards } = useQuery(boardsQuery);
  const Icon = KIND_ICONS[hit.type];
  const { title, labels, ...texts } = hit.highlights;
  const excerpts = Object.entries(texts);
  return (
    <Link
      to="/missions/$missionId"
      params={{ missionId: hit.mission_id }}
      {...(hit.type === "comment" && { hash: `comment-${hit.id}` })}
      onClick={() => remember({ id: hit.mission_id, title: hit.title })}
      preload={false}
      className="transition-quick flex gap-3 border-b border-line px-3 py-2.5 -outline-offset-2 hover:bg-hover md:px-4"
    >
      <span title={KIND_NAMES[hit.type]} className="mt-0.5 text-ink-3">
        <Icon size={15} role="img" aria-label={KIND_NAMES[hit.type]} />
      </span>
      <span className="flex max-w-5xl min-w-0 flex-1 flex-col gap-0.5">
        <span className="flex items-baseline gap-3">
          <span className="min-w-0 flex-1 truncate font-medium">
            {title === undefined ? hit.title : <Marked highlight={title} />}
          </span>
          <time
            dateTime={hit.updated_at}
            title={absolute(hit.updated_at)}
            className="tabular shrink-0 text-sm text-ink-3"
          >
            {relative(hit.updated_at)}
          </time>
        </span>
        {excerpts.map(([field, text]) => (
          <span key={field} className="line-clamp-2 text-ink-2">
            <Marked highlight={text} />
          </span>
        ))}
        <span className="text-sm text-ink-3">
          {hit.type !== "mission" && `${KIND_NAMES[hit.type]} · `}
          {boards?.find(({ id }) => id === hit.board_id)?.name}
          {labels !== undefined && (
            <>
              {" · "}
              <Marked highlight={labels} />
            </>
          )}
        </span>
      </span>
    </Link>
  );
}
