import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Bookmark, ChevronDown, ListFilter, Rows3, Trash2, X } from "lucide-react";
import { type ReactNode, type Ref, useEffect, useMemo, useRef, useState } from "react";
import { meQuery, useDirectory } from "@/api/queries";
import { isComposing } from "@/lib/keys";
import { cn, compare } from "@/lib/text";
import type { BoardState } from "@/models/board";
import { PRIORITIES, PRIORITY_NAME } from "@/models/types";
import { useShortcuts } from "@/shell/shortcuts";
import { Button, IconButton } from "@/ui/Button";
import { useFocusKept, useLeave } from "@/ui/focus";
import { Avatar, PriorityMark } from "@/ui/marks";
import { type Choice, Picker } from "@/ui/Picker";
import { deleteView, followViews, saveView, useSavedViews } from "./savedViews";
import { type BoardSearch, boardSearch } from "./search";
import { type Grouping, isSame, NOBODY, peopleOf, type View, viewOf } from "./view";

export const PRIORITY_CHOICES: Choice[] = PRIORITIES.map((priority) => ({
  id: priority,
  text: PRIORITY_NAME[priority],
  mark: <PriorityMark priority={priority} />,
}));
const GROUP_NAME: Record<Grouping | "none", string> = {
  none: "No groups",
  assignee: "Assignee",
  priority: "Priority",
};
const EMPTY: View = {
  q: undefined,
  priority: undefined,
  label: undefined,
  assignee: undefined,
  group: undefined,
};

/** Returns how the board is looked at, and how to look at it otherwise: by the address. */
export function useView(): { view: View; setView: (change: View) => void } {
  // Read without its route, an address still has what the route's own check left out.
  const { q, priority, label, assignee, group } = useSearch({ strict: false }) as BoardSearch;
  const navigate = useNavigate();
  // The router gives equal parts as the same object, so a view changes only when what it says does.
  const view = useMemo<View>(
    () => viewOf(boardSearch({ q, priority, label, assignee, group })),
    [q, priority, label, assignee, group],
  );
  const setView = (change: View) =>
    void navigate({
      to: ".",
      search: (now: object) =>
        ({ ...now, ...EMPTY, ...viewOf(boardSearch({ ...now, ...change })) }) as object,
      replace: true,
    });
  return { view, setView };
}

/** Returns what shows all cards, in the groups that there are. Who asks is not drawn anew when the view changes. */
export function useShowAll(): () => void {
  const navigate = useNavigate();
  return () =>
    void navigate({
      to: ".",
      search: (now) => ({ ...now, ...EMPTY, group: now.group }) as object,
      replace: true,
    });
}

/** What of a board is shown, in which groups, and the views that somebody keeps. */
export function FilterBar({ board }: { board: BoardState }) {
  const { view, setView } = useView();
  const nameOf = useDirectory();
  const { labels, people } = useMemo(() => found(board), [board]);
  const field = useRef<HTMLInputElement>(null);
  // Clear goes when nothing is left to clear. The button beside it, as in a field the page's keys are letters.
  const besideClear = useFocusKept<HTMLSpanElement>();
  const buttons = useRef<Record<string, HTMLButtonElement | null>>({});
  const hold = (name: string) => (element: HTMLButtonElement | null) => {
    buttons.current[name] = element;
  };
  const open = (name: string) => () => buttons.current[name]?.click();
  const clear = () => setView(EMPTY);
  const group = "Board: views";
  useShortcuts([
    { keys: "/", label: "Filter by words", group, run: () => field.current?.select() },
    { keys: "f p", label: "Filter by priority", group, run: open("priority") },
    { keys: "f l", label: "Filter by label", group, run: open("label") },
    { keys: "f a", label: "Filter by assignee", group, run: open("assignee") },
    { keys: "f g", label: "Group the cards", group, run: open("group") },
    { keys: "f v", label: "Saved views", group, run: open("views") },
    { keys: "f c", label: "Show everything again", group, run: clear },
  ]);
  const toggle = (part: "priority" | "label" | "assignee") => (id: string) => {
    const now: readonly string[] = view[part] ?? [];
    const next = now.includes(id) ? now.filter((each) => each !== id) : [...now, id];
    setView({ [part]: next });
  };
  const personOf = (id: string) => (id === NOBODY ? "Nobody" : nameOf(id).name);
  const chosenPeople = [...new Set([...people, ...(view.assignee ?? [])])];
  return (
    <search
      aria-label="Filter the board"
      className="flex h-10 shrink-0 items-center gap-1 overflow-x-auto border-b border-line px-3 md:px-4"
    >
      <Words ref={field} value={view.q ?? ""} onChange={(q) => setView({ q })} />
      <Picker
        label="Filter by priority"
        choices={PRIORITY_CHOICES}
        chosen={view.priority ?? []}
        onPick={toggle("priority")}
        trigger={
          <Trigger ref={hold("priority")} chosen={view.priority?.map((id) => PRIORITY_NAME[id])}>
            Priority
          </Trigger>
        }
      />
      <Picker
        label="Filter by label"
        choices={[...new Set([...labels, ...(view.label ?? [])])].map((id) => ({ id, text: id }))}
        chosen={view.label ?? []}
        onPick={toggle("label")}
        empty="No such label on this board"
        trigger={
          <Trigger ref={hold("label")} chosen={view.label}>
            Label
          </Trigger>
        }
      />
      <Picker
        label="Filter by assignee"
        choices={[
          { id: NOBODY, text: "Nobody" },
          ...chosenPeople
            .filter((id) => id !== NOBODY)
            .map((id) => ({ id, text: nameOf(id).name, mark: <Avatar who={nameOf(id)} /> }))
            .sort((a, b) => a.text.localeCompare(b.text)),
        ]}
        chosen={view.assignee ?? []}
        onPick={toggle("assignee")}
        trigger={
          <Trigger ref={hold("assignee")} chosen={view.assignee?.map(personOf)}>
            Assignee
          </Trigger>
        }
      />
      <span className="mx-1 h-4 w-px shrink-0 bg-line" />
      <span ref={besideClear} className="flex shrink-0 items-center gap-1">
        <Picker
          label="Group by"
          choices={Object.entries(GROUP_NAME).map(([id, text]) => ({
            id,
            text,
            ...(id === (view.group ?? "none") ? { hint: "now" } : {}),
          }))}
          onPick={(id) => setView({ group: id === "none" ? undefined : (id as Grouping) })}
          trigger={
            <Trigger
              ref={hold("group")}
              icon={<Rows3 size={13} aria-hidden />}
              chosen={view.group && [GROUP_NAME[view.group]]}
            >
              Group
            </Trigger>
          }
        />
        {Object.keys(view).length > 0 && (
          <Button kind="quiet" className="!h-7 !px-2" onClick={clear}>
            <X size={13} aria-hidden />
            Clear
          </Button>
        )}
      </span>
      <Views
        ref={hold("views")}
        view={view}
        onPick={(picked) => setView({ ...EMPTY, ...picked })}
      />
    </search>
  );
}

/** The words of a filter: shown at once as they are typed, whatever the address does meanwhile. */
function Words({
  ref,
  value,
  onChange,
}: {
  ref: React.RefObject<HTMLInputElement | null>;
  value: string;
  onChange: (text: string) => void;
}) {
  const [text, setText] = useState(value);
  const { onFocus, leave } = useLeave();
  useEffect(() => {
    if (document.activeElement !== ref.current) setText(value);
  }, [value, ref]);
  const change = (next: string) => {
    setText(next);
    onChange(next.trim());
  };
  return (
    <span className="relative flex shrink-0 items-center">
      <ListFilter
        size={13}
        aria-hidden
        className="pointer-events-none absolute left-2 text-ink-3"
      />
      <input
        ref={ref}
        type="search"
        aria-label="Words in the title"
        placeholder="Filter"
        value={text}
        onFocus={onFocus}
        onChange={({ target }) => change(target.value)}
        onKeyDown={(event) => {
          if (event.key !== "Escape" || isComposing(event)) return;
          event.preventDefault();
          change("");
          leave(event.currentTarget);
        }}
        className={cn(
          "h-7 w-28 rounded-md border bg-raised pr-2 pl-7 text-base placeholder:text-ink-3 sm:w-36 lg:w-48",
          value === "" ? "border-line" : "border-accent",
        )}
      />
    </span>
  );
}

/** The views that somebody keeps, by name; a name that is new keeps the one that is shown. */
function Views({
  ref,
  view,
  onPick,
}: {
  ref: Ref<HTMLButtonElement>;
  view: View;
  onPick: (view: View) => void;
}) {
  const { data: me } = useQuery(meQuery);
  const { views } = useSavedViews();
  const personId = me?.id;
  useEffect(() => (personId === undefined ? undefined : followViews(personId)), [personId]);
  // A view's bin goes with the view.
  const kept = useFocusKept<HTMLSpanElement>();
  const isPlain = Object.keys(view).length === 0;
  const current = views.find((saved) => isSame(saved.view, view))?.name;
  return (
    <span ref={kept} className="ml-auto flex shrink-0 items-center pl-2">
      <Picker
        align="end"
        label={isPlain ? "Find a view" : "Find a view, or name this one"}
        choices={views.map(({ name }) => ({
          id: name,
          text: name,
          ...(name === current ? { hint: "now" } : {}),
        }))}
        onPick={(name) => onPick(views.find((saved) => saved.name === name)?.view ?? {})}
        {...(isPlain ? {} : { create: (name: string) => saveView(name, view) })}
        empty={
          isPlain ? "Filter or group the board; then keep it here." : "Type a name to keep it."
        }
        trigger={
          <Trigger
            ref={ref}
            icon={<Bookmark size={13} aria-hidden />}
            chosen={current && [current]}
          >
            {current === undefined ? "Views" : "View"}
          </Trigger>
        }
      />
      {current !== undefined && (
        <IconButton
          label={`Delete the view ${current}`}
          className="!size-7"
          onClick={() => deleteView(current)}
        >
          <Trash2 size={13} aria-hidden />
        </IconButton>
      )}
    </span>
  );
}

/** A button of the bar: what it chooses, and what is chosen. */
function Trigger({
  icon,
  chosen,
  children,
  ...rest
}: {
  ref: Ref<HTMLButtonElement>;
  icon?: ReactNode;
  chosen: readonly string[] | "" | undefined;
  children: string;
}) {
  const isSet = chosen !== undefined && chosen !== "" && chosen.length > 0;
  return (
    <Button
      kind="quiet"
      className={cn("!h-7 !px-2", isSet && "bg-accent-soft !text-accent-strong")}
      {...rest}
    >
      {icon}
      {children}
      {isSet && (
        <span className="max-w-32 truncate font-medium">
          {chosen.length === 1 ? chosen[0] : chosen.length}
        </span>
      )}
      {!isSet && <ChevronDown size={12} aria-hidden className="max-lg:hidden" />}
    </Button>
  );
}

/** Returns what a board's cards can be told apart by. */
function found(board: BoardState): { labels: string[]; people: string[] } {
  const labels = new Set<string>();
  const people = new Set<string>();
  for (const card of board.cards.values()) {
    for (const label of card.labels) labels.add(label);
    for (const id of peopleOf(card)) people.add(id);
  }
  return { labels: [...labels].sort(compare), people: [...people] };
}
