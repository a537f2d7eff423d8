import { useEffect, useRef, useState } from "react";
import { played } from "@/lib/timeline";
import { STEPS, type Step, steps } from "./steps";

/** How long a viewer looks at a board on which nothing happens, before the quiet is skipped. */
const QUIET_MS = 800;
/** Fewer than these ahead, and more are asked for. */
const AHEAD_MIN = 25;
/** How often the thumb is drawn anew. */
const DRAW_MS = 50;

export const SPEEDS = [1, 2, 5, 10, 25, 50, 100] as const;
export type Speed = (typeof SPEEDS)[number];

/**
 * Plays a board's events from `start`, an ISO time: `show` is told each position that is reached, `end` that
 * now is. Returns the time on the clock (milliseconds), or null where nothing plays.
 */
export function usePlayback({
  boardId,
  start,
  speed,
  show,
  end,
}: {
  boardId: string;
  start: string | null;
  speed: Speed;
  show: (at: string) => void;
  end: () => void;
}): number | null {
  const [drawn, setDrawn] = useState<number | null>(null);
  const latest = useRef({ speed, show, end });
  latest.current = { speed, show, end };
  useEffect(() => {
    if (start === null) return;
    const abort = new AbortController();
    let clock = Date.parse(start);
    let ahead: Step[] = [];
    let from = start;
    let seen = 0;
    let isAsking = false;
    let isWhole = false;
    let before = performance.now();
    let drawnAt = 0;
    let frame = 0;

    const fill = async () => {
      isAsking = true;
      const found = await steps(boardId, { sort: "position", since: from }, abort.signal);
      isWhole = found.length < STEPS;
      ahead = [...ahead, ...found.filter(({ position }) => position > seen)];
      from = found.at(-1)?.recorded_at ?? from;
      seen = found.at(-1)?.position ?? seen;
      isAsking = false;
    };
    const play = (time: number) => {
      const next = ahead[0];
      if (next !== undefined) {
        const { speed: rate } = latest.current;
        clock = played(clock, time - before, rate, Date.parse(next.recorded_at), QUIET_MS);
        const passed = ahead.filter(({ recorded_at }) => Date.parse(recorded_at) <= clock);
        ahead = ahead.slice(passed.length);
        const reached = passed.at(-1);
        if (reached !== undefined) latest.current.show(String(reached.position));
        if (time - drawnAt > DRAW_MS) {
          drawnAt = time;
          setDrawn(clock);
        }
      }
      before = time;
      if (ahead.length === 0 && isWhole) {
        latest.current.end();
        return;
      }
      if (ahead.length < AHEAD_MIN && !isWhole && !isAsking) fill().catch(latest.current.end);
      frame = requestAnimationFrame(play);
    };
    frame = requestAnimationFrame(play);
    return () => {
      abort.abort();
      cancelAnimationFrame(frame);
      setDrawn(null);
    };
  }, [boardId, start]);
  return drawn;
}
