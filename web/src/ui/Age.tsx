import { useSyncExternalStore } from "react";
import { cn } from "@/lib/text";
import { absolute, relative } from "@/lib/time";

const TICK_MS = 1_000;
const SECONDS_SHOWN = 60;

/** How long ago something was, by the second at first; it counts while it is looked at. */
export function Age({ time, className }: { time: string; className?: string }) {
  const now = useNow();
  return (
    <time dateTime={time} title={absolute(time)} className={cn("tabular", className)}>
      {age(time, now)}
    </time>
  );
}

/** "7s ago" and "in 12s" where `relative` would say "now". */
export function age(time: string, now: number): string {
  const seconds = Math.round((Date.parse(time) - now) / 1000);
  if (Math.abs(seconds) >= SECONDS_SHOWN) return relative(time, now);
  // The clocks of two machines differ by a little.
  return seconds > 2 ? `in ${seconds}s` : `${Math.max(0, -seconds)}s ago`;
}

const watchers = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;
let time = Date.now();

/** The time in milliseconds, once a second, for all who ask from one clock. */
export function useNow(): number {
  return useSyncExternalStore(watch, () => time);
}

function watch(changed: () => void): () => void {
  if (watchers.size === 0) {
    time = Date.now();
    timer = setInterval(tick, TICK_MS);
  }
  watchers.add(changed);
  return () => {
    watchers.delete(changed);
    if (watchers.size === 0) clearInterval(timer);
  };
}

function tick(): void {
  time = Date.now();
  for (const changed of watchers) changed();
}
