import { useEffect, useRef, useState } from "react";
import { played } from "@/lib/timeline";
import { type From, reader, type Step, steps } from "./steps";

/** How long a viewer looks at a board on which nothing happens, before the quiet is skipped: up to this speed, */
const QUIET_MS = 800;
const QUIET_SPEED = 10;
/** and shorter beyond it. */
const quietAt = (speed: Speed) => QUIET_MS * Math.min(1, QUIET_SPEED / speed);
/** Fewer than these ahead, and more are asked for. */
const AHEAD_MIN = 25;
/** How often the thumb is drawn anew. */
const DRAW_MS = 50;

export const SPEEDS = [1, 2, 5, 10, 25, 50, 100] as const;
export type Speed = (typeof SPEEDS)[number];

/** Where a playback starts: the time on its clock, and the first event that is still to come. */
export type Start = { time: string; from: From };

/**
 * Plays a board's events from `start`: `show` is told each position that is reached, `end` that now is, `fail`
 * why the next events can't be had. While it is `held` the clock stands still. Returns the time on the clock
 * (milliseconds), or null where nothing plays.
 */
export function usePlayback({
  boardId,
  start,
  ...told
}: {
  boardId: string;
  start: Start | null;
  speed: Speed;
  isHeld: boolean;
  show: (at: string) => void;
  end: () => void;
  fail: (error: unknown) => void;
}): number | null {
  const [drawn, setDrawn] = useState<number | null>(null);
  const latest = useRef(told);
  latest.current = told;
  useEffect(() => {
    if (start === null) return;
    const abort = new AbortController();
    const events = reader(start.from, (from) =>
      steps(boardId, { sort: "position", ...from }, abort.signal),
    );
    let clock = Date.parse(start.time);
    let ahead: Step[] = [];
    let isAsking = false;
    let before = performance.now();
    let drawnAt = 0;
    let frame = 0;

    const fill = async () => {
      isAsking = true;
      try {
        ahead = [...ahead, ...(await events.more())];
        isAsking = false;
      } catch (error) {
        // Called off by whoever paused it, it is no failure. One stays the last: nothing is asked for again.
        if (!abort.signal.aborted) latest.current.fail(error);
      }
    };
    const play = (time: number) => {
      const next = ahead[0];
      const { speed, isHeld } = latest.current;
      if (next !== undefined && !isHeld) {
        clock = played(clock, time - before, speed, Date.parse(next.recorded_at), quietAt(speed));
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
      if (ahead.length === 0 && events.isWhole()) {
        latest.current.end();
        return;
      }
      if (ahead.length < AHEAD_MIN && !events.isWhole() && !isAsking) void fill();
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
