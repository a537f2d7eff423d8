import { create } from "zustand";
import { boardSearch } from "./search";
import { type View, viewOf } from "./view";

/** A view that somebody gave a name. */
export type SavedView = { name: string; view: View };

const stored = (personId: string) => `mc-views:${personId}`;

export const useSavedViews = create<{ personId: string; views: readonly SavedView[] }>(() => ({
  personId: "",
  views: [],
}));

/**
 * Reads the views of whoever is signed in, and again when another tab has changed them; returns how to stop. Each person
 * on this device has their own.
 */
export function followViews(personId: string): () => void {
  const read = () => useSavedViews.setState({ personId, views: viewsOf(personId) });
  const onStorage = ({ key }: StorageEvent) => {
    if (key === stored(personId) || key === null) read();
  };
  read();
  window.addEventListener("storage", onStorage);
  return () => window.removeEventListener("storage", onStorage);
}

const viewsOf = (personId: string) => readViews(localStorage.getItem(stored(personId)));

/** Returns the views that were stored; what makes no sense is left out. */
export function readViews(text: string | null): SavedView[] {
  try {
    const found: unknown = JSON.parse(text ?? "[]");
    if (!Array.isArray(found)) return [];
    return found.flatMap((each: { name?: unknown; view?: unknown } | null) =>
      typeof each?.name === "string" && typeof each.view === "object" && each.view !== null
        ? [{ name: each.name, view: viewOf(boardSearch({ ...each.view })) }]
        : [],
    );
  } catch {
    return [];
  }
}

/** Keeps a view by a name; one that had the name before is replaced. */
export function saveView(name: string, view: View): void {
  store([...others(name), { name, view: viewOf(view) }]);
}

export function deleteView(name: string): void {
  store(others(name));
}

/** As they are stored now: another tab may have kept one that this one has not heard of yet. */
const others = (name: string) =>
  viewsOf(useSavedViews.getState().personId).filter((saved) => saved.name !== name);

function store(views: SavedView[]): void {
  const sorted = views.sort((a, b) => a.name.localeCompare(b.name));
  localStorage.setItem(stored(useSavedViews.getState().personId), JSON.stringify(sorted));
  useSavedViews.setState({ views: sorted });
}
