import { api, body } from "@/api/client";
import type { LiveEvent } from "@/models/events";
import { SILENCE_PINGS, type Told, type Transport } from "./transport";
import { Watchdog } from "./watchdog";

/** How long the server has to answer, before a proxy in between is taken to swallow sockets. */
const OPEN_MS_MAX = 6_000;
/** A new ticket this long before the access runs out. */
const REFRESH_BEFORE_MS = 60_000;
const CLOSED_TOKEN = 4001;
const CLOSED_REVOKED = 4003;
const CLOSED_RESTART = 1012;

type Said =
  | { t: "connected"; log_id: string; ping_s: number; expires_at?: string }
  | { t: "sub_ok"; room: string; head: number; replaying: boolean }
  | { t: "batch"; room: string; events: LiveEvent[]; live?: boolean }
  | ({ t: "ev"; room: string } & LiveEvent)
  | { t: "live"; room: string; pos: number }
  | { t: "reset"; room: string; log_id: string }
  | { t: "refresh_ok"; expires_at?: string }
  | { t: "err"; room?: string; code: string }
  | { t: "drain"; after_ms: number }
  | { t: "ping" };

/** Opens a socket that speaks `mc.v1`. Rejects where no ticket is given. */
export async function openSocket(told: Told): Promise<Transport> {
  const ticket = await newTicket();
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/ws`, "mc.v1");
  let refresher: ReturnType<typeof setTimeout> | undefined;
  let ended = false;

  const say = (message: object) => {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  };
  const end = (reason: "restart" | "refused" | "lost", retryAfterMs?: number) => {
    if (ended) return;
    ended = true;
    watchdog.stop();
    clearTimeout(refresher);
    socket.close();
    told.closed(reason, retryAfterMs);
  };
  const watchdog = new Watchdog(OPEN_MS_MAX, () => end("lost"));
  const refreshBefore = (expiresAt: string | undefined) => {
    if (expiresAt === undefined) return;
    const inMs = Math.max(1_000, Date.parse(expiresAt) - Date.now() - REFRESH_BEFORE_MS);
    refresher = setTimeout(
      () =>
        newTicket().then(
          (fresh) => say({ t: "refresh", ticket: fresh }),
          () => end("lost"),
        ),
      inMs,
    );
  };
  const hear = (said: Said) => {
    switch (said.t) {
      case "connected":
        watchdog.silenceMs = said.ping_s * 1000 * SILENCE_PINGS;
        refreshBefore(said.expires_at);
        told.opened(said.log_id);
        break;
      case "refresh_ok":
        refreshBefore(said.expires_at);
        break;
      case "sub_ok":
        told.subscribed(said.room, said.head, said.replaying);
        break;
      case "ev":
        told.events(said.room, [said]);
        break;
      case "batch": {
        told.events(said.room, said.events);
        const last = said.events.at(-1);
        if (said.live !== true && last) say({ t: "ack", room: said.room, pos: last.pos });
        break;
      }
      case "live":
        told.caughtUp(said.room, said.pos);
        break;
      case "reset":
        told.reset(said.room);
        break;
      case "err":
        if (said.room !== undefined) told.refused(said.room, said.code);
        break;
      case "drain":
        end("restart", Math.random() * said.after_ms);
        break;
      case "ping":
        say({ t: "pong" });
        break;
    }
  };

  socket.onopen = () => say({ t: "connect", id: 1, ticket });
  socket.onmessage = (message) => {
    watchdog.heard();
    hear(JSON.parse(message.data as string) as Said);
  };
  socket.onclose = ({ code }) => {
    if (code === CLOSED_RESTART) end("restart");
    else end(code === CLOSED_TOKEN || code === CLOSED_REVOKED ? "refused" : "lost");
  };
  return {
    sub: (room, pos, logId) => say({ t: "sub", room, pos, ...(logId ? { log_id: logId } : {}) }),
    unsub: (room) => say({ t: "unsub", room }),
    check: () => watchdog.check(),
    close: () => {
      ended = true;
      watchdog.stop();
      clearTimeout(refresher);
      socket.close();
    },
  };
}

async function newTicket(): Promise<string> {
  const { ticket } = await body<{ ticket: string }>(api.POST("/api/ws/ticket"));
  return ticket;
}
