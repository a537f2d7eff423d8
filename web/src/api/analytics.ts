import { queryOptions } from "@tanstack/react-query";
import type { Schemas } from "@/models/types";
import { api, body } from "./client";

/** Which stretch of time is shown, up to now, and in which steps. */
export const RANGES = {
  "24h": { label: "24 hours", days: 1, bucket: "hour" },
  "7d": { label: "7 days", days: 7, bucket: "day" },
  "14d": { label: "14 days", days: 14, bucket: "day" },
  "30d": { label: "30 days", days: 30, bucket: "day" },
  "90d": { label: "90 days", days: 90, bucket: "day" },
  "1y": { label: "One year", days: 365, bucket: "week" },
} as const;
export type Range = keyof typeof RANGES;
export type Bucket = (typeof RANGES)[Range]["bucket"];

const DAY_MS = 86_400_000;
const REFRESH_MS = 60_000;

/** What is asked: a range, and a board where it is about one. */
export type Asked = { range: Range; board?: string | undefined };

export type Span = Pick<Schemas["FlowOfBucket"], "since" | "until">;
export type Durations = Schemas["Percentiles"];

/** What each figure's document holds. */
export type Figures = {
  flow: Pick<Schemas["Flow"], "buckets">;
  throughput: Schemas["Throughput"];
  "cycle-time": Schemas["CycleTime"];
  "response-time": Schemas["ResponseTime"];
  utilisation: Pick<Schemas["Utilisation"], "agents">;
};

/** Returns where a range begins. */
export function sinceOf(range: Range, now: number = Date.now()): string {
  return new Date(now - RANGES[range].days * DAY_MS).toISOString();
}

/** Figures about the flow of work; they are asked for again every minute, as no event tells them. */
export function figuresQuery<Name extends keyof Figures>(name: Name, { range, board }: Asked) {
  return queryOptions({
    queryKey: ["analytics", name, range, board ?? null],
    queryFn: ({ signal }) => {
      const query = {
        since: sinceOf(range),
        bucket: RANGES[range].bucket,
        ...(board === undefined ? {} : { board_id: board }),
      };
      // The five take the same, which their types can't say together.
      const path = `/api/analytics/${name}` as "/api/analytics/flow";
      const asked: Promise<{ data?: unknown }> = api.GET(path, { params: { query }, signal });
      return body(asked as Promise<{ data?: Figures[Name] }>);
    },
    staleTime: REFRESH_MS,
    refetchInterval: REFRESH_MS,
  });
}
