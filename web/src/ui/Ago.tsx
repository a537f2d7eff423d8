import { useSyncExternalStore } from "react";
import { absolute, relative } from "@/lib/time";

const TICK_MS = 20_000;
const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;
let minute = Date.now();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    minute = Date.now();
    for (const tell of listeners) tell();
  }, TICK_MS);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** Returns the time of day to a third of a minute; one timer for the whole page. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => minute);
}

/** How long ago something was, kept up to date; the whole moment as a hint. */
export function Ago({ time, className }: { time: string; className?: string }) {
  const now = Math.max(useNow(), Date.now());
  return (
    <time dateTime={time} title={absolute(time)} className={className}>
      {relative(time, now)}
    </time>
  );
}
