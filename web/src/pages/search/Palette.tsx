import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { CornerDownLeft, History, type LucideIcon, Search, Terminal } from "lucide-react";
import { Dialog } from "radix-ui";
import { type KeyboardEvent, useDeferredValue, useEffect, useId, useRef, useState } from "react";
import { boardsQuery, meQuery } from "@/api/queries";
import { signOut } from "@/api/session";
import { isComposing } from "@/lib/keys";
import { recent, remember } from "@/lib/recent";
import { cn } from "@/lib/text";
import { sections } from "@/shell/sections";
import { useShortcutList } from "@/shell/shortcuts";
import { setTheme, type Theme } from "@/shell/theme";
import { goOnTyping, useFocusBack } from "@/ui/focus";
import { Key } from "@/ui/marks";
import { type Command, distinct, matching } from "./commands";
import { KIND_ICONS } from "./kinds";
import { Marked } from "./Marked";
import { type Hit, isSearchable, someQuery } from "./query";

const COMMANDS_MAX = 6;
const HITS_MAX = 8;
const HIT = "hit ";
const TYPING_MS = 120;
const THEMES: [Theme, string][] = [
  ["dark", "Dark theme"],
  ["light", "Light theme"],
  ["system", "Theme like the system"],
];

/** A line of the palette. */
type Line = {
  id: string;
  group: string;
  icon: LucideIcon;
  label: React.ReactNode;
  note?: React.ReactNode;
  keys?: string;
  run: () => void;
};

/**
 * Search and commands in one, for the keyboard: what was opened lately, what can be done here, and as one
 * types, what was found.
 */
export function Palette({
  typed,
  isEntered,
  onClose,
}: {
  /** What was typed before it was there, and whether Enter was. */
  typed: string;
  isEntered: boolean;
  onClose: () => void;
}) {
  const [text, setText] = useState(typed);
  const [active, setActive] = useState(0);
  const list = useRef<HTMLDivElement>(null);
  const id = useId();
  const { lines, isSearching, isCurrent } = useLines(text);
  const at = Math.min(active, Math.max(0, lines.length - 1));
  useEffect(() => {
    list.current?.querySelector(`[data-line="${at}"]`)?.scrollIntoView({ block: "nearest" });
  }, [at]);
  const giveBack = useFocusBack(true);
  const chosen = useRef<Line>(null);
  const choose = (line: Line | undefined) => {
    if (line === undefined) return;
    chosen.current = line;
    onClose();
  };
  const chooseNow = useRef(choose);
  chooseNow.current = choose;
  const onOpenAutoFocus = (event: Event) => {
    goOnTyping(event);
    if (isEntered) choose(lines[0]);
  };
  const onCloseAutoFocus = (event: Event) => {
    giveBack(event);
    // The palette is gone, and the focus is back where it was: what runs may take it.
    chosen.current?.run();
  };
  const wished = lines[at];
  const isOfBefore = !isCurrent && wished?.id.startsWith(HIT) === true;
  // Who types on and presses Enter means what is found for that, and not what is still shown.
  const [isEntering, setEntering] = useState(false);
  useEffect(() => {
    if (!isEntering || isOfBefore) return;
    setEntering(false);
    chooseNow.current(wished);
  }, [isEntering, isOfBefore, wished]);
  const onKeyDown = (event: KeyboardEvent) => {
    if (isComposing(event)) return;
    const step = stepOf(event, lines.length);
    if (step !== 0) {
      event.preventDefault();
      setActive((at + step + lines.length) % Math.max(1, lines.length));
    } else if (event.key === "Enter") {
      event.preventDefault();
      setEntering(true);
    }
  };
  return (
    <Dialog.Root open onOpenChange={(now) => now || onClose()}>
      <Dialog.Portal>
        <div className="fixed inset-0 z-40 bg-scrim animate-enter" aria-hidden />
        <Dialog.Content
          aria-describedby={undefined}
          onOpenAutoFocus={onOpenAutoFocus}
          onCloseAutoFocus={onCloseAutoFocus}
          className="fixed inset-x-2 top-[8vh] z-50 mx-auto flex max-h-[min(70vh,32rem)] max-w-2xl flex-col overflow-hidden rounded-lg border border-line bg-overlay shadow-overlay animate-enter sm:top-[14vh]"
        >
          <Dialog.Title className="sr-only">Search and commands</Dialog.Title>
          <div className="flex h-12 shrink-0 items-center gap-3 border-b border-line px-4">
            <Search
              size={16}
              aria-hidden
              className={cn("text-ink-3", isSearching && "animate-pulse")}
            />
            <input
              role="combobox"
              aria-label="Search, or what to do"
              aria-expanded
              aria-controls={`${id}-list`}
              aria-activedescendant={lines.length > 0 ? `${id}-${at}` : undefined}
              aria-autocomplete="list"
              placeholder="Search, or say what to do"
              autoComplete="off"
              spellCheck={false}
              maxLength={500}
              value={text}
              onChange={(event) => {
                setText(event.target.value);
                setActive(0);
                setEntering(false);
              }}
              onKeyDown={onKeyDown}
              className="h-full min-w-0 flex-1 bg-transparent text-lg outline-none placeholder:text-ink-3"
            />
            <Key>Esc</Key>
          </div>
          <div
            ref={list}
            id={`${id}-list`}
            role="listbox"
            aria-label="Found"
            className="min-h-0 flex-1 overflow-y-auto p-1.5"
          >
            {lines.map((line, index) => (
              <div key={line.id} role="presentation">
                {line.group !== lines[index - 1]?.group && (
                  <div role="presentation" className="px-2.5 pt-2 pb-1 text-sm text-ink-3">
                    {line.group}
                  </div>
                )}
                <Row
                  id={`${id}-${index}`}
                  index={index}
                  line={line}
                  isActive={index === at}
                  onPoint={() => setActive(index)}
                  onChoose={() => choose(line)}
                />
              </div>
            ))}
          </div>
          {lines.length === 0 && (
            <p role="status" className="px-4 pb-6 text-center text-ink-3">
              {isSearching ? "Searching" : "Nothing of this name, and nothing was found."}
            </p>
          )}
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function Row({
  id,
  index,
  line: { icon: Icon, label, note, keys },
  isActive,
  onPoint,
  onChoose,
}: {
  id: string;
  index: number;
  line: Line;
  isActive: boolean;
  onPoint: () => void;
  onChoose: () => void;
}) {
  return (
    // biome-ignore lint/a11y/useFocusableInteractive: the field keeps the focus, and names the active line
    // biome-ignore lint/a11y/useKeyWithClickEvents: the field has the keys
    <div
      id={id}
      role="option"
      aria-selected={isActive}
      data-line={index}
      onPointerMove={() => isActive || onPoint()}
      onClick={onChoose}
      className={cn(
        "flex min-h-9 cursor-default items-center gap-3 rounded-md px-2.5 py-1.5",
        isActive && "bg-hover",
      )}
    >
      <Icon size={15} aria-hidden className="shrink-0 text-ink-3" />
      <span className="flex min-w-0 flex-1 flex-col">
        <span className="truncate">{label}</span>
        {note !== undefined && <span className="truncate text-sm text-ink-3">{note}</span>}
      </span>
      {keys !== undefined && (
        <span className="flex gap-1 max-sm:hidden">
          {keys.split(/[ +]/).map((key) => (
            <Key key={key}>{key.length === 1 ? key.toUpperCase() : key}</Key>
          ))}
        </span>
      )}
      {isActive && keys === undefined && (
        <CornerDownLeft size={14} aria-hidden className="shrink-0 text-ink-3" />
      )}
    </div>
  );
}

/** Returns how far a key goes in the list; 0 for every other key. */
function stepOf({ key, ctrlKey }: KeyboardEvent, count: number): number {
  if (key === "ArrowDown" || (ctrlKey && key === "n")) return 1;
  if (key === "ArrowUp" || (ctrlKey && key === "p")) return -1;
  if (key === "PageDown") return Math.min(HITS_MAX, count - 1);
  if (key === "PageUp") return -Math.min(HITS_MAX, count - 1);
  return 0;
}

/** Returns what the palette shows for a text. */
function useLines(text: string): { lines: Line[]; isSearching: boolean; isCurrent: boolean } {
  const navigate = useNavigate();
  const commands = useCommands();
  const wanted = useSettled(text.trim());
  const found = useQuery(someQuery(wanted, HITS_MAX));
  const open = (missionId: string, title: string, hash?: string) => () => {
    remember({ id: missionId, title });
    void navigate({
      to: "/missions/$missionId",
      params: { missionId },
      ...(hash !== undefined && { hash }),
    });
  };
  const asLine = ({ id, label, group, keys, run }: Command): Line => ({
    id: `command ${id}`,
    group,
    icon: Terminal,
    label,
    run,
    ...(keys !== undefined && { keys }),
  });
  if (text.trim() === "") {
    const lately = recent().map(
      ({ id, title }): Line => ({
        id: `recent ${id}`,
        group: "Opened lately",
        icon: History,
        label: title,
        run: open(id, title),
      }),
    );
    const lines = [...lately.slice(0, 5), ...commands.map(asLine)];
    return { lines, isSearching: false, isCurrent: true };
  }
  const hits = isSearchable(wanted) ? (found.data?.items ?? []) : [];
  const lines = [
    ...matching(commands, text).slice(0, COMMANDS_MAX).map(asLine).map(under("Commands")),
    ...hits.map((hit): Line => hitLine(hit, open)),
  ];
  if (isSearchable(text)) {
    lines.push({
      id: "all",
      group: "Search",
      icon: Search,
      label: `Search for “${text.trim()}” on a page of its own`,
      run: () => void navigate({ to: "/search", search: { q: text.trim() } }),
    });
  }
  const isSettled = wanted === text.trim();
  return {
    lines,
    isSearching: found.isFetching || !isSettled,
    isCurrent: isSettled && !found.isPlaceholderData,
  };
}

const under =
  (group: string) =>
  (line: Line): Line => ({ ...line, group });

function hitLine(hit: Hit, open: (id: string, title: string, hash?: string) => () => void): Line {
  const { title, ...texts } = hit.highlights;
  const excerpt = Object.values(texts)[0];
  return {
    id: `${HIT}${hit.id}`,
    group: "Found",
    icon: KIND_ICONS[hit.type],
    label: title === undefined ? hit.title : <Marked highlight={title} />,
    ...(excerpt !== undefined && { note: <Marked highlight={excerpt} /> }),
    run: open(hit.mission_id, hit.title, hit.type === "comment" ? `comment-${hit.id}` : undefined),
  };
}

/** Returns what can be done from here: what the page says by its shortcuts, then where to go, then the rest. */
function useCommands(): Command[] {
  const { shortcuts } = useShortcutList();
  const navigate = useNavigate();
  const { data: boards } = useQuery(boardsQuery);
  const { data: me } = useQuery(meQuery);
  const fromShortcuts = shortcuts
    .filter(({ keys }) => keys !== "Ctrl+k")
    .flatMap(({ keys, label, group, run }): Command[] =>
      run === null ? [] : [{ id: keys, label, group, keys, run }],
    );
  const pages = fromShortcuts.filter(({ group }) => !["Go to", "Everywhere"].includes(group));
  const goTo = fromShortcuts.filter(({ group }) => group === "Go to");
  const everywhere = fromShortcuts.filter(({ group }) => group === "Everywhere");
  return distinct([
    ...pages,
    ...goTo,
    ...(boards ?? []).map(({ id, name }) => ({
      id: `board ${id}`,
      label: `Board: ${name}`,
      group: "Go to",
      run: () => void navigate({ to: "/boards/$boardId", params: { boardId: id } }),
    })),
    ...sections(me?.permissions ?? []).map(({ to, label, words }) => ({
      id: to,
      label: `Settings: ${label}`,
      group: "Go to",
      words,
      run: () => void navigate({ to }),
    })),
    ...everywhere,
    ...THEMES.map(([theme, label]) => ({
      id: theme,
      label,
      group: "Everywhere",
      words: "colour mode appearance",
      run: () => setTheme(theme),
    })),
    { id: "out", label: "Sign out", group: "Everywhere", words: "leave log", run: signOut },
  ]);
}

/** Returns a text when it has not changed for a moment. */
function useSettled(text: string): string {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), TYPING_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return useDeferredValue(settled);
}
