import { accessToken } from "@/api/session";
import type { LiveEvent } from "@/models/events";
import { SILENCE_PINGS, type Told, type Transport } from "./transport";
import { Watchdog } from "./watchdog";

/** How long the server has to answer. */
const OPEN_MS_MAX = 15_000;
/** Rooms come and go together when a page does: one new stream serves them all. */
const REOPEN_MS = 50;

type Said =
  | { t: "connected"; log_id: string; ping_s: number; head: number; replaying: boolean }
  | ({ t: "ev"; prev: Record<string, number> } & Omit<LiveEvent, "prev">)
  | { t: "live"; pos: number }
  | { t: "reset"; log_id: string }
  | { t: "err"; room?: string; code: string }
  | { t: string };

/**
 * Follows rooms over Server-Sent Events, for networks that block WebSockets. One stream has all rooms and one
 * position, the lowest of theirs; what a room has seen already, its follower drops.
 */
export function openStream(told: Told): Transport {
  const rooms = new Map<string, number>();
  let logId: string | null = null;
  let reading: AbortController | null = null;
  let watchdog: Watchdog | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let ended = false;

  const end = (reason: "refused" | "lost") => {
    if (ended) return;
    ended = true;
    reading?.abort();
    told.closed(reason);
  };
  const hear = (said: Said) => {
    if (said.t === "connected") {
      const { log_id, ping_s, head, replaying } = said as Extract<Said, { t: "connected" }>;
      logId = log_id;
      told.identified(log_id);
      if (watchdog) watchdog.silenceMs = ping_s * 1000 * SILENCE_PINGS;
      for (const room of rooms.keys()) told.subscribed(room, head, replaying);
    } else if (said.t === "ev") {
      const event = said as Extract<Said, { prev: Record<string, number> }>;
      for (const [room, prev] of Object.entries(event.prev)) {
        if (rooms.has(room)) {
          rooms.set(room, event.pos);
          told.events(room, [{ ...event, prev }]);
        }
      }
    } else if (said.t === "live") {
      const { pos } = said as Extract<Said, { pos: number }>;
      for (const room of rooms.keys()) told.caughtUp(room, pos);
    } else if (said.t === "reset") {
      const { log_id } = said as Extract<Said, { t: "reset" }>;
      logId = log_id;
      told.identified(log_id);
      for (const room of rooms.keys()) told.reset(room);
    } else if (said.t === "err") {
      const { room, code } = said as Extract<Said, { t: "err" }>;
      if (room === undefined) return;
      rooms.delete(room);
      told.refused(room, code);
    }
  };
  const read = async () => {
    reading?.abort();
    if (rooms.size === 0) return;
    const abort = new AbortController();
    reading = abort;
    const silence = new Watchdog(OPEN_MS_MAX, () => abort.abort());
    watchdog = silence;
    const query = new URLSearchParams([...rooms.keys()].map((room) => ["room", room]));
    query.set("pos", String(Math.min(...rooms.values())));
    if (logId !== null) query.set("log_id", logId);
    try {
      const token = await accessToken();
      const answer = await fetch(`/api/stream?${query}`, {
        headers: { authorization: `Bearer ${token}`, accept: "text/event-stream" },
        signal: abort.signal,
      });
      if (!answer.ok || answer.body === null) throw new Error(String(answer.status));
      await eachMessage(answer.body, silence, (text) => hear(JSON.parse(text) as Said));
      if (!abort.signal.aborted) end("lost");
    } catch {
      if (reading === abort) end("lost");
    } finally {
      silence.stop();
    }
  };
  const reopen = () => {
    clearTimeout(timer);
    timer = setTimeout(read, REOPEN_MS);
  };

  queueMicrotask(() => told.opened(null));
  return {
    sub: (room, position, known) => {
      rooms.set(room, position);
      logId ??= known;
      reopen();
    },
    unsub: (room) => {
      rooms.delete(room);
      reopen();
    },
    check: () => watchdog?.check(),
    close: () => {
      ended = true;
      clearTimeout(timer);
      reading?.abort();
    },
  };
}

async function eachMessage(
  stream: ReadableStream<Uint8Array>,
  watchdog: Watchdog,
  hear: (text: string) => void,
): Promise<void> {
  const reader = stream.pipeThrough(new TextDecoderStream() as never).getReader();
  let buffer = "";
  for (;;) {
    const { done, value } = (await reader.read()) as { done: boolean; value?: string };
    watchdog.heard();
    if (done) return;
    buffer += value ?? "";
    const blocks = buffer.split("\n\n");
    buffer = blocks.pop() ?? "";
    for (const block of blocks) {
      const data = block.split("\n").filter((line) => line.startsWith("data: "));
      if (data.length > 0) hear(data.map((line) => line.slice(6)).join("\n"));
    }
  }
}
