import { useSyncExternalStore } from "react";

/** So long what nobody waits for may be put off by what is more urgent. */
const IDLE_TIMEOUT_MS = 1_000;

/**
 * A module that comes after the page. `load` asks for it, once; `use` gives it to a component: undefined until
 * it came, and at once where it has, without a fallback between as with Suspense.
 */
export function later<Module>(get: () => Promise<Module>) {
  let now: Module | undefined;
  let isAsked = false;
  const waiting = new Set<() => void>();
  const subscribe = (tell: () => void) => {
    waiting.add(tell);
    return () => waiting.delete(tell);
  };
  const load = async () => {
    if (isAsked) return;
    isAsked = true;
    try {
      now = await get();
      for (const tell of waiting) tell();
    } catch {
      isAsked = false; // the line is down: whoever wants it next asks again
    }
  };
  return { load: () => void load(), use: () => useSyncExternalStore(subscribe, () => now) };
}

/** Runs something when the browser has nothing better to do; returns how to call it off. */
export function whenIdle(run: () => void): () => void {
  if (!("requestIdleCallback" in window)) {
    const timer = setTimeout(run, IDLE_TIMEOUT_MS); // Safari
    return () => clearTimeout(timer);
  }
  const handle = requestIdleCallback(run, { timeout: IDLE_TIMEOUT_MS });
  return () => cancelIdleCallback(handle);
}
