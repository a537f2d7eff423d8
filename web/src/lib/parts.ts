import { type ComponentType, lazy } from "react";
import { create } from "zustand";

/** Between two tries to reach the server. */
const AGAIN_MS = 2_000;

/** How many parts are waited for because the server can't be reached. */
export const useAwaited = create(() => ({ parts: 0 }));

/**
 * Imports a part of the dashboard. Where the server can't be reached it waits: the page that is open is worth
 * more than an error. Rejects where the server answers and has no such part, as it has another version by now.
 */
export async function patiently<Part>(get: () => Promise<Part>): Promise<Part> {
  try {
    return await get();
  } catch {
    useAwaited.setState(({ parts }) => ({ parts: parts + 1 }));
    while (!(await isServerThere())) await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    useAwaited.setState(({ parts }) => ({ parts: parts - 1 }));
    return get();
  }
}

/** Returns a component that is loaded when it is first shown, by a server that may be away for a while. */
export function lazily<Props>(get: () => Promise<{ default: ComponentType<Props> }>) {
  return lazy(() => patiently(get));
}

async function isServerThere(): Promise<boolean> {
  try {
    return (await fetch("/icon.svg", { method: "HEAD", cache: "no-store" })).ok;
  } catch {
    return false;
  }
}
