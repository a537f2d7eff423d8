import { accessToken } from "@/api/session";
import { whenIdle } from "@/lib/later";
import type { LiveEvent } from "@/models/events";
import { openSocket } from "./socket";
import { useLiveState } from "./state";
import { openStream } from "./stream";
import type { Told, Transport } from "./transport";

const BACKOFF_MS = 500;
const BACKOFF_MS_MAX = 15_000;
const RESTART_SPREAD_MS = 2_000;
/** After so many sockets that never said a word, the stream takes over. */
const SILENT_SOCKETS_MAX = 2;

/** Somebody who keeps a state up to date by a room. */
export type Follower = {
  /** The position of its state: what is not beyond it, it has. */
  position: number;
  /** Called at most once per frame, with events in order. */
  apply(events: LiveEvent[]): void;
  /** What it missed can't be had any more: fetch the state again. */
  reset(): void;
  /** The room may not be entered (any more). */
  refused?(code: string): void;
};

type Room = { last: number; head: number; replaying: boolean; followers: Set<Follower> };

/**
 * The one connection of this page: rooms, each with whoever follows it. It comes back by itself from where
 * it was, so that nobody misses or repeats an event.
 */
class Live {
  private rooms = new Map<string, Room>();
  private transport: Transport | null = null;
  private logId: string | null = null;
  /** Counts who has signed out: what was begun for one is nothing to the next. */
  private era = 0;
  private isBeginning = false;
  private isOpening = false;
  private isOpen = false;
  private failures = 0;
  private silentSockets = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private queues = new Map<Follower, LiveEvent[]>();
  private flushing = false;

  /** Follows a room from a follower's position on; returns how to stop. */
  follow(name: string, follower: Follower): () => void {
    let room = this.rooms.get(name);
    if (room === undefined) {
      room = { last: follower.position, head: 0, replaying: true, followers: new Set() };
      this.rooms.set(name, room);
      this.subscribe(name, room);
    } else if (follower.position < room.last) {
      // It needs what the others have: they drop it, each by its own position.
      room.last = follower.position;
      this.subscribe(name, room);
    }
    room.followers.add(follower);
    return () => this.unfollow(name, follower);
  }

  /** Ends everything, when somebody signs out. */
  stop(): void {
    this.era += 1;
    clearTimeout(this.retry);
    this.retry = undefined;
    this.failures = 0;
    this.transport?.close();
    this.ended();
    this.logId = null;
    this.rooms.clear();
    this.queues.clear();
    useLiveState.setState({ state: "connecting", behind: 0 });
  }

  /** Looks now whether the line still lives, or tries again: the machine woke up, or the network is back. */
  wake(): void {
    this.transport?.check();
    if (this.transport !== null || this.rooms.size === 0) return;
    clearTimeout(this.retry);
    void this.open();
  }

  /** The network is gone, and the line most likely with it: says so at once, and tries again. */
  lose(): void {
    if (this.transport === null) return;
    this.transport.close();
    this.ended();
    this.again();
  }

  /** Nobody looks any more: frames that were asked for do not come, and what waits for one goes on without. */
  hide(): void {
    if (this.flushing) setTimeout(() => this.flush(), 0);
  }

  private unfollow(name: string, follower: Follower): void {
    const room = this.rooms.get(name);
    this.queues.delete(follower);
    room?.followers.delete(follower);
    if (room?.followers.size !== 0) return;
    // A page that is left for another one often asks for the same room again at once.
    setTimeout(() => {
      if (this.rooms.get(name) !== room || room.followers.size > 0) return;
      this.rooms.delete(name);
      this.transport?.unsub(name);
      this.show();
    }, 0);
  }

  private subscribe(name: string, room: Room): void {
    room.replaying = true;
    room.head = room.last;
    if (this.isOpen) this.transport?.sub(name, room.last, this.logId);
    else if (this.transport === null && !this.isOpening && this.retry === undefined) this.begin();
  }

  /** Opens for the first time. What is shown is painted first; a page that nobody looks at is not painted. */
  private begin(): void {
    if (this.isBeginning) return;
    this.isBeginning = true;
    const open = () => {
      this.isBeginning = false;
      if (this.transport === null && this.rooms.size > 0) void this.open();
    };
    if (document.hidden) open();
    else whenIdle(open);
  }

  private async open(): Promise<void> {
    if (this.isOpening) return;
    this.isOpening = true;
    this.retry = undefined;
    const { era } = this;
    try {
      const bySocket = this.silentSockets < SILENT_SOCKETS_MAX;
      const opened = bySocket ? await openSocket(this.told(true)) : openStream(this.told(false));
      if (era === this.era) this.transport = opened;
      else opened.close();
    } catch {
      if (era === this.era) this.again();
    } finally {
      this.isOpening = false;
      // Whoever signed in meanwhile has asked for rooms, and was told that a line is being opened.
      if (era !== this.era && this.rooms.size > 0) this.begin();
    }
  }

  private told(isSocket: boolean): Told {
    let heard = false;
    return {
      opened: (logId) => {
        heard = true;
        this.silentSockets = isSocket ? 0 : this.silentSockets;
        this.isOpen = true;
        this.failures = 0;
        if (logId !== null) this.identify(logId);
        for (const [name, room] of this.rooms) this.subscribe(name, room);
        this.show();
      },
      identified: (logId) => this.identify(logId),
      subscribed: (name, head, replaying) => {
        const room = this.rooms.get(name);
        if (room) Object.assign(room, { head: Math.max(head, room.head), replaying });
        this.show();
      },
      events: (name, events) => this.deliver(name, events),
      caughtUp: (name, position) => {
        const room = this.rooms.get(name);
        if (room) Object.assign(room, { replaying: false, last: Math.max(room.last, position) });
        this.show();
      },
      reset: (name) => this.reset(name),
      refused: (name, code) => {
        for (const follower of this.rooms.get(name)?.followers ?? []) follower.refused?.(code);
        this.rooms.delete(name);
      },
      closed: (reason, retryAfterMs) => {
        if (isSocket && !heard && reason === "lost") this.silentSockets += 1;
        this.ended();
        if (reason === "refused") void accessToken().catch(() => null);
        this.again(
          reason === "restart" ? (retryAfterMs ?? Math.random() * RESTART_SPREAD_MS) : null,
        );
      },
    };
  }

  private ended(): void {
    this.transport = null;
    this.isOpen = false;
  }

  private again(inMs: number | null = null): void {
    useLiveState.setState({ state: "offline", behind: 0 });
    const backoff = Math.min(BACKOFF_MS_MAX, BACKOFF_MS * 2 ** this.failures);
    this.failures += 1;
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.open(), inMs ?? backoff * (0.5 + Math.random() / 2));
  }

  private deliver(name: string, events: LiveEvent[]): void {
    const room = this.rooms.get(name);
    if (room === undefined) return;
    for (const event of events) {
      if (event.pos <= room.last) continue;
      if (event.prev > room.last) {
        this.subscribe(name, room); // a gap: ask again from what is known
        return;
      }
      room.last = event.pos;
      for (const follower of room.followers) this.queue(follower, event);
    }
    if (room.replaying) this.show();
  }

  private queue(follower: Follower, event: LiveEvent): void {
    if (event.pos <= follower.position) return;
    follower.position = event.pos;
    const waiting = this.queues.get(follower);
    if (waiting) waiting.push(event);
    else this.queues.set(follower, [event]);
    if (this.flushing) return;
    this.flushing = true;
    // A page in the background gets no frames, and still has to keep up.
    if (document.hidden) setTimeout(() => this.flush(), 100);
    else requestAnimationFrame(() => this.flush());
  }

  private flush(): void {
    this.flushing = false;
    const due = [...this.queues];
    this.queues.clear();
    for (const [follower, events] of due) follower.apply(events);
  }

  private reset(name: string): void {
    const room = this.rooms.get(name);
    this.rooms.delete(name);
    for (const follower of room?.followers ?? []) {
      this.queues.delete(follower);
      follower.reset();
    }
  }

  /** In another log, positions mean something else: all states are fetched again. */
  private identify(logId: string): void {
    const isAnother = this.logId !== null && logId !== this.logId;
    this.logId = logId;
    if (isAnother) for (const name of [...this.rooms.keys()]) this.reset(name);
  }

  private show(): void {
    if (!this.isOpen) return;
    let behind = 0;
    for (const room of this.rooms.values()) {
      if (room.replaying) behind = Math.max(behind, room.head - room.last);
    }
    if (behind > 0) useLiveState.setState({ state: "catching-up", behind });
    else useLiveState.setState({ state: "live", behind: 0 });
  }
}

export const live = new Live();

if (typeof window !== "undefined") {
  window.addEventListener("online", () => live.wake());
  window.addEventListener("offline", () => live.lose());
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) live.hide();
    else live.wake();
  });
}
