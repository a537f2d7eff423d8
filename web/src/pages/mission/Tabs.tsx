import { type KeyboardEvent, useRef } from "react";
import { cn } from "@/lib/text";
import { useLive } from "@/live/query";
import { useMission } from "./context";
import { commentsModel } from "./model";
import { useIsGone } from "./moment";

const TABS = ["comments", "history"] as const;
export type Tab = (typeof TABS)[number];
const NAMES: Record<Tab, string> = { comments: "Comments", history: "History" };

/** What was said, or what happened. */
export function Tabs({ tab, onTab }: { tab: Tab; onTab: (tab: Tab) => void }) {
  const list = useRef<HTMLDivElement>(null);
  const isGone = useIsGone();
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = tab === "comments" ? "history" : "comments";
    onTab(other);
    list.current?.querySelector<HTMLElement>(`[data-tab=${other}]`)?.focus();
  };
  return (
    <div
      ref={list}
      role="tablist"
      aria-label="Comments and history"
      tabIndex={-1}
      onKeyDown={onKeyDown}
      className="flex gap-4 border-b border-line"
    >
      {TABS.map((name) => (
        <button
          key={name}
          type="button"
          role="tab"
          data-tab={name}
          aria-selected={tab === name}
          tabIndex={tab === name ? 0 : -1}
          onClick={() => onTab(name)}
          className={cn(
            "-mb-px h-9 border-b-2 font-medium",
            tab === name
              ? "border-accent text-ink"
              : "border-transparent text-ink-3 hover:text-ink-2",
          )}
        >
          {NAMES[name]}
          {name === "comments" && isGone === false && <Count />}
        </button>
      ))}
    </div>
  );
}

/** How many comments there are, or were at the moment that is shown. */
function Count() {
  const { mission, asOfTime } = useMission();
  const comments = useLive(commentsModel(mission.id)).data?.state ?? [];
  const count = comments.filter(
    ({ removed, created_at }) => !removed && (asOfTime === undefined || created_at <= asOfTime),
  ).length;
  if (count === 0) return null;
  return (
    <span className="tabular ml-1.5 text-sm font-normal text-ink-3">
      <span className="sr-only">, </span>
      {count}
    </span>
  );
}
