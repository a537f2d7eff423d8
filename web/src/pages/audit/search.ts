import type { Filters } from "./log";

/** What of the audit log's view is in its address: the filters, and the event that is open. */
export type AuditSearch = Filters & { event?: number | undefined };

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/;
const TYPE = /^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*(\.\*)?$/;

export function auditSearch(raw: Record<string, unknown>): AuditSearch {
  const found: AuditSearch = {};
  if (typeof raw.actor === "string" && UUID.test(raw.actor)) found.actor = raw.actor;
  if (typeof raw.stream === "string" && UUID.test(raw.stream)) found.stream = raw.stream;
  if (typeof raw.type === "string" && TYPE.test(raw.type)) found.type = raw.type;
  if (isTime(raw.since)) found.since = raw.since;
  if (isTime(raw.until)) found.until = raw.until;
  if (typeof raw.event === "number" && Number.isSafeInteger(raw.event) && raw.event > 0) {
    found.event = raw.event;
  }
  return found;
}

const isTime = (raw: unknown): raw is string =>
  typeof raw === "string" &&
  /^\d{4}-\d\d-\d\dT.*(Z|[+-]\d\d:\d\d)$/.test(raw) &&
  !Number.isNaN(Date.parse(raw));

/** Returns an ISO time as a field of local time shows it, to the minute. */
export function localOf(time: string | undefined): string {
  if (time === undefined) return "";
  const date = new Date(time);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** Returns what a field of local time holds as an ISO time, or undefined where it is empty. */
export function timeOfLocal(local: string): string | undefined {
  const time = new Date(local);
  return Number.isNaN(time.getTime()) ? undefined : time.toISOString();
}
