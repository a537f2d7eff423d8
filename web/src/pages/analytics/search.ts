import { RANGES, type Range } from "@/api/analytics";

/** What of the page is in its address. A part that makes no sense is left out. */
export type AnalyticsSearch = { range?: Range; board?: string };

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/;

export function analyticsSearch(raw: Record<string, unknown>): AnalyticsSearch {
  const found: AnalyticsSearch = {};
  if (typeof raw.range === "string" && Object.hasOwn(RANGES, raw.range)) {
    found.range = raw.range as Range;
  }
  if (typeof raw.board === "string" && UUID.test(raw.board)) found.board = raw.board;
  return found;
}
