import { Cog, type LucideIcon } from "lucide-react";
import { memo } from "react";
import type { Someone } from "@/api/queries";
import { plainText } from "@/lib/markdown";
import { cn } from "@/lib/text";
import { type InboxItem, keyOf } from "@/models/inbox";
import { Ago } from "@/ui/Ago";
import { Avatar } from "@/ui/marks";
import { wordsOf } from "./words";

/** More of a text does not fit on its line, however wide the desk. */
const TEXT_CHARS_READ = 1_000;

/** One thing that waits: who, what, about which mission, and since when. */
export const Row = memo(function Row({
  item,
  icon: Icon,
  who,
  nameOf,
  isUnread,
  isCurrent,
  onOpen,
}: {
  item: InboxItem;
  icon: LucideIcon;
  who: Someone | null;
  nameOf: (id: string) => Someone;
  isUnread: boolean;
  isCurrent: boolean;
  onOpen: () => void;
}) {
  const name = who === null || who.kind === "unknown" ? "Mission Control" : who.name;
  return (
    <li aria-current={isCurrent} className="border-b border-line">
      <button
        type="button"
        data-item={keyOf(item)}
        onClick={onOpen}
        className={cn(
          "relative grid w-full grid-cols-[auto_minmax(0,1fr)_auto] items-start gap-x-3 py-2.5 pr-4 pl-7 text-left -outline-offset-2 3xl:grid-cols-[auto_minmax(0,64rem)_auto] 3xl:justify-start",
          isCurrent ? "bg-pressed" : "hover:bg-hover",
        )}
      >
        {isUnread && (
          <span className="absolute top-4.5 left-2.5 size-2 rounded-full bg-accent">
            <span className="sr-only">Unread</span>
          </span>
        )}
        <span className="relative mt-0.5">
          {who === null || who.kind === "unknown" ? (
            <span className="inline-flex size-5 items-center justify-center rounded-sm bg-pressed text-ink-2">
              <Cog size={13} aria-hidden />
            </span>
          ) : (
            <Avatar who={nameOf(who.id)} />
          )}
        </span>
        <span className="min-w-0">
          <span className="flex min-w-0 items-center gap-1.5">
            <Icon
              size={13}
              aria-hidden
              className={cn(
                "shrink-0",
                item.kind === "alert"
                  ? "text-bad"
                  : item.kind === "review"
                    ? "text-stage-review"
                    : "text-accent",
              )}
            />
            <span className={cn("truncate", isUnread ? "font-medium text-ink" : "text-ink-2")}>
              {item.title ?? "A mission"}
            </span>
          </span>
          <span className={cn("block truncate", isCurrent ? "text-ink-2" : "text-ink-3")}>
            <span className="text-ink-2">
              {name} {wordsOf(item.type)}
            </span>
            {item.text !== null && ` · ${plainText(item.text.slice(0, TEXT_CHARS_READ))}`}
          </span>
        </span>
        <Ago time={item.at} className={cn("text-sm", isCurrent ? "text-ink-2" : "text-ink-3")} />
      </button>
    </li>
  );
});
