import { api, body } from "@/api/client";
import { Problem } from "@/api/problem";
import { accessToken, refusal } from "@/api/session";
import type { Density } from "@/lib/timeline";
import type { Schemas } from "@/models/types";

/** An event of the log in full, as `GET /api/events` tells it. */
export type Envelope = Schemas["RecordedEvent"];

/** One event, what caused it, what it caused, and what else its command and its chain of causes did. */
export type InFull = Schemas["EventInFull"];

/** Which events are shown; all of it is in the address. Times are ISO 8601. */
export type Filters = {
  actor?: string;
  type?: string;
  stream?: string;
  since?: string;
  until?: string;
};

/** What is read at a time, and how a filter that finds little widens it. */
const PAGE_EVENTS = 200;
const WIDER = 8;

export type LogPage = { events: Envelope[]; before: number | null };

/** Reads a part of the log: what lies behind `from` and before `before`, oldest first. */
export type Read = (from: number, before: number) => Promise<Envelope[]>;

/**
 * Returns the newest events before a position, newest first, and from where to go on. The log is read forward
 * only, so it is read in windows from the end; one that finds little is followed by a wider one.
 */
export async function pageBefore(read: Read, before: number): Promise<LogPage> {
  const events: Envelope[] = [];
  let upper = before;
  for (let width = PAGE_EVENTS; upper > 1 && events.length < PAGE_EVENTS; width *= WIDER) {
    const from = Math.max(0, upper - 1 - width);
    events.push(...(await read(from, upper)).reverse());
    upper = from + 1;
  }
  return { events, before: upper > 1 ? upper : null };
}

/** Returns the position after the last event that filters allow. */
export async function logEnd({ until }: Filters, signal: AbortSignal): Promise<number> {
  const query = { buckets: 1, ...(until === undefined ? {} : { until }) };
  const found = await body<Density>(api.GET("/api/events/density", { params: { query }, signal }));
  return (until === undefined ? found.position : (found.buckets.at(-1)?.as_of ?? 0)) + 1;
}

/** Reads events by filters, one after the other; ends where `each` answers false. */
export async function readLog(
  filters: Filters,
  { from, follow = false }: { from: number; follow?: boolean },
  each: (event: Envelope) => boolean,
  signal: AbortSignal,
): Promise<void> {
  const answer = await ask(filters, { from, follow }, signal);
  const reader = answer.body?.pipeThrough(new TextDecoderStream() as never).getReader();
  let buffer = "";
  while (reader !== undefined) {
    const { done, value } = (await reader.read()) as { done: boolean; value?: string };
    if (done) return;
    const lines = (buffer + (value ?? "")).split("\n");
    buffer = lines.pop() ?? "";
    for (const line of lines) {
      if (line !== "" && !each(JSON.parse(line) as Envelope)) {
        await reader.cancel();
        return;
      }
    }
  }
}

/** Returns what filters allow of the log, as a file of one JSON document a line. */
export async function exported(filters: Filters): Promise<Blob> {
  return (await ask(filters, { from: 0, follow: false })).blob();
}

async function ask(
  { actor, type, stream, since, until }: Filters,
  { from, follow }: { from: number; follow: boolean },
  signal?: AbortSignal,
): Promise<Response> {
  const query = new URLSearchParams({ from: String(from) });
  const named = { actor_id: actor, type, stream_id: stream, since, until };
  for (const [name, value] of Object.entries(named))
    if (value !== undefined) query.set(name, value);
  if (follow) query.set("follow", "true");
  const headers = { authorization: `Bearer ${await accessToken()}` };
  const answer = await fetch(`/api/events?${query}`, { headers, signal: signal ?? null }).catch(
    (error: unknown) => {
      if (signal?.aborted) throw error;
      throw new Problem(0, "network", "The server can't be reached.");
    },
  );
  if (!answer.ok) throw await refusal(answer);
  return answer;
}
