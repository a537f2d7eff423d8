import { create } from "zustand";

export type Toast = { id: number; text: string; tone: "plain" | "bad"; action?: ToastAction };
export type ToastAction = { label: string; run: () => void };

const TOAST_MS = 6_000;
const TOASTS_MAX = 3;
let count = 0;

export const useAnnouncements = create<{ toasts: Toast[]; spoken: string }>(() => ({
  toasts: [],
  spoken: "",
}));

/** Shows a few words for a while; those who can't see them hear them. */
export function toast(text: string, tone: Toast["tone"] = "plain", action?: ToastAction): void {
  const id = show({ text, tone, ...(action ? { action } : {}) });
  setTimeout(() => dismiss(id), TOAST_MS);
}

/**
 * Shows words for as long as something takes. What is returned changes them; with a tone they are the last
 * ones, and go like those of any toast.
 */
export function progress(text: string): (text: string, end?: Toast["tone"]) => void {
  const id = show({ text, tone: "plain" });
  return (next, end) => {
    useAnnouncements.setState(({ toasts }) => ({
      toasts: toasts.map((t) => (t.id === id ? { ...t, text: next, tone: end ?? t.tone } : t)),
    }));
    if (end !== undefined) setTimeout(() => dismiss(id), TOAST_MS);
  };
}

function show(words: Omit<Toast, "id">): number {
  count += 1;
  // A refusal's own words may go on in a sentence; here they begin one.
  const text = words.text.charAt(0).toUpperCase() + words.text.slice(1);
  const made: Toast = { ...words, id: count, text };
  // What is said again takes the place of what was said.
  useAnnouncements.setState(({ toasts }) => ({
    toasts: [...toasts.filter((toast) => toast.text !== text), made].slice(-TOASTS_MAX),
  }));
  return made.id;
}

/** Takes a toast away. */
export function dismiss(id: number): void {
  useAnnouncements.setState(({ toasts }) => ({ toasts: toasts.filter((t) => t.id !== id) }));
}

/** Says something to screen readers only, like where a card went. */
export function announce(text: string): void {
  useAnnouncements.setState({ spoken: "" });
  // The same words twice are said once, unless there was a moment of nothing.
  setTimeout(() => useAnnouncements.setState({ spoken: text }), 50);
}
