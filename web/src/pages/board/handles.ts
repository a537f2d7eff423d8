import { useCallback } from "react";
import { create } from "zustand";
import { later } from "@/lib/later";

/** All of dragging is one file that comes after the board. */
export const drag = later(() => import("./Drag"));

/** What on the page can be dragged by what, and onto what: cards and columns tell it of themselves, by their ids. */
export const useHandles = create<{
  handles: ReadonlyMap<string, HTMLElement>;
  columns: ReadonlyMap<string, HTMLElement>;
}>(() => ({ handles: new Map(), columns: new Map() }));

/** The card that is dragged. Apart from the above, so that cards hear of nothing else. */
export const useDragged = create<{ id: string | null }>(() => ({ id: null }));

/** Tells of an element while it is shown: a callback for `ref`. A scope of its own, which keeps nothing else of a page. */
export function useRegistered(kind: "handles" | "columns", id: string) {
  return useCallback((element: HTMLElement | null) => register(kind, id, element), [kind, id]);
}

function register(kind: "handles" | "columns", id: string, element: HTMLElement | null) {
  if (element === null) return;
  useHandles.setState((now) => ({ [kind]: new Map(now[kind]).set(id, element) }));
  return () =>
    useHandles.setState((now) => {
      // A card that went to another column is told of there before it is gone from here.
      if (now[kind].get(id) !== element) return now;
      const left = new Map(now[kind]);
      left.delete(id);
      return { [kind]: left };
    });
}
