import { useNavigate, useSearch } from "@tanstack/react-router";
import { AtSign, CheckCheck, GitPullRequestArrow, Inbox, TriangleAlert } from "lucide-react";
import { Suspense, useEffect, useMemo, useRef } from "react";
import { useDirectory } from "@/api/queries";
import { lazily } from "@/lib/parts";
import { cn } from "@/lib/text";
import { type InboxItem, keyOf } from "@/models/inbox";
import { INBOX_KINDS, type InboxKind } from "@/models/types";
import { TopBar } from "@/shell/Shell";
import { useShortcuts } from "@/shell/shortcuts";
import { Button } from "@/ui/Button";
import { Key } from "@/ui/marks";
import { Empty, Failure, Skeleton } from "@/ui/states";
import { markAllRead, markRead, markUnread, useInbox, useUnread } from "./model";
import { Row } from "./Row";

const MissionPanel = lazily(() => import("@/pages/mission/Panel"));

const KINDS: Record<InboxKind, [string, typeof AtSign]> = {
  mention: ["Mentions", AtSign],
  review: ["Reviews", GitPullRequestArrow],
  alert: ["Alerts", TriangleAlert],
};
const NOTHING: never[] = [];

/** What waits for whoever is signed in, with the mission of the chosen one beside it. */
export default function InboxPage() {
  const { data, error, refetch } = useInbox();
  const { kind, mission, item } = useSearch({ from: "/app/inbox" });
  const navigate = useNavigate({ from: "/inbox" });
  const nameOf = useDirectory();
  const all = data?.state.items ?? NOTHING;
  const unread = useUnread(all);
  const unreadKeys = useMemo(() => new Set(unread.map(keyOf)), [unread]);
  const items = useMemo(
    () => (kind === undefined ? all : all.filter((one) => one.kind === kind)),
    [all, kind],
  );
  const list = useRef<HTMLUListElement>(null);
  const at = items.findIndex((one) => keyOf(one) === item);

  const open = (one: InboxItem) => {
    markRead(one);
    void navigate({
      search: (now) => ({ ...now, item: keyOf(one), mission: one.mission_id }),
      hash: one.comment_id === null ? "" : `comment-${one.comment_id}`,
      replace: mission !== undefined,
    });
  };
  const close = () =>
    void navigate({ search: ({ mission: _, ...rest }) => rest, hash: "", replace: true });
  const go = (to: number) => {
    const one = items[Math.max(0, Math.min(items.length - 1, to))];
    if (one === undefined) return;
    // Enter is the row's own, as it has the focus.
    list.current?.querySelector<HTMLElement>(`[data-item="${keyOf(one)}"]`)?.focus();
    // With a mission beside the list, the next item shows the next mission.
    if (mission !== undefined) open(one);
    else void navigate({ search: (now) => ({ ...now, item: keyOf(one) }), replace: true });
  };
  useShortcuts([
    { keys: "j", label: "Next; Enter opens it", group: "Inbox", run: () => go(at + 1) },
    { keys: "k", label: "Previous", group: "Inbox", run: () => go(at < 0 ? 0 : at - 1) },
    {
      keys: "u",
      label: "Mark as unread, or read",
      group: "Inbox",
      run: () => {
        const one = items[at];
        if (one === undefined) return;
        if (unreadKeys.has(keyOf(one))) markRead(one);
        else markUnread(one, all);
      },
    },
  ]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: when another is chosen, not when one comes in
  useEffect(() => {
    list.current?.querySelector("[aria-current=true]")?.scrollIntoView({ block: "nearest" });
  }, [item]);
  return (
    <>
      <title>{`${unread.length > 0 ? `(${unread.length}) ` : ""}Inbox · Mission Control`}</title>
      <TopBar
        actions={
          unread.length > 0 && (
            <Button kind="quiet" onClick={() => markAllRead(all)}>
              <CheckCheck size={14} aria-hidden />
              <span className="max-sm:sr-only">Mark all as read</span>
            </Button>
          )
        }
      >
        <h1 className="font-semibold">Inbox</h1>
      </TopBar>
      <div className="flex min-h-0 flex-1">
        <main
          id="main"
          tabIndex={-1}
          data-ready={data !== undefined || undefined}
          className="flex min-w-0 flex-1 flex-col outline-none"
        >
          <fieldset className="flex min-w-0 shrink-0 flex-wrap gap-1 border-b border-line px-3 py-2 md:px-4">
            <legend className="sr-only">Show</legend>
            <Chip
              label="All"
              count={all.length}
              isOn={kind === undefined}
              onSelect={() => void navigate({ search: ({ kind: _, ...rest }) => rest })}
            />
            {INBOX_KINDS.map((one) => (
              <Chip
                key={one}
                label={KINDS[one][0]}
                icon={KINDS[one][1]}
                count={all.filter((item) => item.kind === one).length}
                isOn={kind === one}
                onSelect={() => void navigate({ search: (now) => ({ ...now, kind: one }) })}
              />
            ))}
          </fieldset>
          {data === undefined ? (
            error !== null ? (
              <Failure error={error} retry={refetch} />
            ) : (
              <InboxSkeleton />
            )
          ) : items.length === 0 ? (
            <NothingWaits kind={kind} />
          ) : (
            <ul ref={list} aria-label="Inbox" className="min-h-0 flex-1 overflow-y-auto">
              {items.map((one) => (
                <Row
                  key={keyOf(one)}
                  item={one}
                  icon={KINDS[one.kind][1]}
                  who={one.actor_id === null ? null : nameOf(one.actor_id)}
                  nameOf={nameOf}
                  isUnread={unreadKeys.has(keyOf(one))}
                  isCurrent={keyOf(one) === item}
                  onOpen={() => open(one)}
                />
              ))}
              <li className="flex items-center gap-1.5 px-4 py-3 text-sm text-ink-3 pointer-coarse:hidden">
                <Key>J</Key>
                <Key>K</Key> to walk, <Key>↵</Key> to open, <Key>U</Key> to mark
              </li>
            </ul>
          )}
        </main>
        {mission !== undefined && (
          <Suspense>
            <MissionPanel missionId={mission} onClose={close} />
          </Suspense>
        )}
      </div>
    </>
  );
}

function Chip({
  label,
  icon: Icon,
  count,
  isOn,
  onSelect,
}: {
  label: string;
  icon?: typeof AtSign;
  count: number;
  isOn: boolean;
  onSelect: () => void;
}) {
  return (
    <button
      type="button"
      aria-pressed={isOn}
      onClick={onSelect}
      className={cn(
        "transition-quick inline-flex h-7 shrink-0 items-center gap-1.5 rounded-full border px-2.5 max-sm:px-2",
        isOn
          ? "border-line-strong bg-pressed text-ink"
          : "border-transparent text-ink-2 hover:bg-hover",
      )}
    >
      {Icon !== undefined && <Icon size={13} aria-hidden className="max-sm:hidden" />}
      {label}
      <span className={cn("tabular text-sm", isOn ? "text-ink-2" : "text-ink-3")}>{count}</span>
    </button>
  );
}

const WORDS: Record<InboxKind, string> = {
  mention: "Nobody has mentioned you. Where somebody writes @ and your name, it comes here.",
  review:
    "No work waits for your review. Missions that you created come here when they are handed in.",
  alert: "Nothing went wrong with your missions.",
};

function NothingWaits({ kind }: { kind: InboxKind | undefined }) {
  return (
    <Empty icon={Inbox} title="Nothing waits for you">
      {kind === undefined
        ? "Mentions, reviews of missions that you created, and alerts about your missions come here."
        : WORDS[kind]}
    </Empty>
  );
}

function InboxSkeleton() {
  return (
    <div role="status" aria-label="Loading the inbox" className="flex flex-col gap-4 p-4">
      {[1, 2, 3, 4, 5, 6].map((row) => (
        <Skeleton key={row} className="h-10" />
      ))}
    </div>
  );
}
