import { useEffect, useRef } from "react";
import { create } from "zustand";

/**
 * A key, or two in a row ("g b"), and what it does. `group` is where `?` lists it. Without `run` it is only
 * listed: what has the focus knows the key by itself.
 */
export type Shortcut = { keys: string; label: string; group: string; run: (() => void) | null };

const CHORD_MS = 1_000;

export const useShortcutList = create<{ shortcuts: Shortcut[] }>(() => ({ shortcuts: [] }));

/** Makes shortcuts work, and be listed under `?`, while a component is shown. */
export function useShortcuts(shortcuts: Shortcut[]): void {
  const latest = useRef(shortcuts);
  latest.current = shortcuts;
  const names = shortcuts.map(({ keys, label }) => `${keys} ${label}`).join();
  // biome-ignore lint/correctness/useExhaustiveDependencies: listed anew when their names change; `latest` runs
  useEffect(() => {
    const mine = latest.current.map((shortcut, index) => ({
      ...shortcut,
      run: shortcut.run && (() => latest.current[index]?.run?.()),
    }));
    useShortcutList.setState((now) => ({ shortcuts: [...now.shortcuts, ...mine] }));
    return () =>
      useShortcutList.setState((now) => ({
        shortcuts: now.shortcuts.filter((shortcut) => !mine.includes(shortcut)),
      }));
  }, [names]);
}

let chord = "";
let chordAt = 0;

/** Runs the shortcut of a key press, if there is one; the newest wins, so a page can take a key over. */
export function onKey(event: KeyboardEvent): void {
  const key = nameOf(event);
  if (event.defaultPrevented || (isTyping(event.target) && !key.startsWith("Ctrl+"))) return;
  const { shortcuts } = useShortcutList.getState();
  const both = Date.now() - chordAt < CHORD_MS ? `${chord} ${key}` : "";
  const found =
    shortcuts.findLast(({ keys }) => keys === both) ??
    shortcuts.findLast(({ keys }) => keys === key);
  chord = key;
  chordAt = Date.now();
  if (!found?.run) return;
  event.preventDefault();
  chord = "";
  found.run();
}

function nameOf(event: KeyboardEvent): string {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  return event.ctrlKey || event.metaKey ? `Ctrl+${key}` : event.altKey ? `Alt+${key}` : key;
}

/** Ctrl-K works everywhere; plain keys belong to the field, the menu or the dialog that has the focus. */
function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable ||
      target.closest("input, textarea, select, [role=menu], [role=dialog]") !== null)
  );
}
