import type { LiveEvent } from "@/models/events";

/** The server pings: silence for so many of its intervals means that the line is dead. */
export const SILENCE_PINGS = 2;

/** What a connection tells whoever opened it. Rooms are named as the server names them. */
export type Told = {
  /** Rooms can be followed from now on; where the log's id is not known yet, `identified` tells it. */
  opened(logId: string | null): void;
  identified(logId: string): void;
  subscribed(room: string, head: number, replaying: boolean): void;
  events(room: string, events: LiveEvent[]): void;
  caughtUp(room: string, position: number): void;
  /** The room's past is not to be had from there: fetch its state again. */
  reset(room: string): void;
  refused(room: string, code: string): void;
  /** It ended; `retryAfterMs` where the server said when to come back. */
  closed(reason: "restart" | "refused" | "lost", retryAfterMs?: number): void;
};

/** A connection to the rooms. */
export type Transport = {
  /** Follow a room behind a position. */
  sub(room: string, position: number, logId: string | null): void;
  unsub(room: string): void;
  /** Ends the line if nothing was heard for too long, which timers don't notice while the machine sleeps. */
  check(): void;
  close(): void;
};
