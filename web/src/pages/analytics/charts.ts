import type { Bucket, Durations, Figures, Span } from "@/api/analytics";
import { figure } from "@/lib/figures";
import { STAGES, type Stage } from "@/models/types";
import type { ChartData, Headline } from "@/ui/Chart";

const DAY = new Intl.DateTimeFormat("en", { month: "short", day: "numeric", timeZone: "UTC" });
const HOUR = new Intl.DateTimeFormat("en", {
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
  timeZone: "UTC",
});

const STAGE_NAMES: Record<Stage, string> = {
  backlog: "Backlog",
  ready: "Ready",
  active: "Active",
  review: "Review",
  done: "Done",
};

/** Names buckets. They are the server's, and begin in UTC: a day there is no day of the viewer's zone. */
export function labelsOf(buckets: readonly Span[], bucket: Bucket): string[] {
  const format = bucket === "hour" ? HOUR : DAY;
  return buckets.map(({ since }) => format.format(new Date(since)));
}

/** Names buckets without a doubt: the day, or the hour of a day. */
export function exactly(buckets: readonly Span[], bucket: Bucket): string[] {
  return buckets.map(({ since }) =>
    bucket === "hour" ? `${since.slice(0, 10)} ${since.slice(11, 16)}Z` : since.slice(0, 10),
  );
}

const OVER: Record<Bucket, string> = { hour: "Hour", day: "Day", week: "Week of" };

const inTime = (buckets: readonly Span[], bucket: Bucket) => ({
  over: OVER[bucket],
  labels: labelsOf(buckets, bucket),
  exact: exactly(buckets, bucket),
});

/** How many missions are in each stage, the finished ones at the bottom. */
export function flowChart({ buckets }: Figures["flow"], bucket: Bucket): ChartData {
  return {
    kind: "area",
    ...inTime(buckets, bucket),
    unit: "count",
    series: STAGES.toReversed().map((stage) => ({
      label: STAGE_NAMES[stage],
      colour: `stage-${stage}` as const,
      values: buckets.map(({ counts }) => counts[stage]),
    })),
  };
}

/** How many missions are open now, and how many of them are worked on. */
export function flowHeadlines({ buckets }: Figures["flow"]): Headline[] {
  const counts = buckets.at(-1)?.counts;
  if (counts === undefined) return [];
  const open = STAGES.reduce((sum, stage) => sum + (stage === "done" ? 0 : counts[stage]), 0);
  return [
    { label: "open", value: figure(open, "count") },
    { label: "in work", value: figure(counts.active, "count") },
    { label: "in review", value: figure(counts.review, "count") },
  ];
}

/** How many missions were completed. */
export function throughputChart({ buckets }: Figures["throughput"], bucket: Bucket): ChartData {
  return {
    kind: "bars",
    ...inTime(buckets, bucket),
    unit: "count",
    series: [
      {
        label: "Completed",
        colour: "stage-done",
        values: buckets.map(({ completed }) => completed),
      },
    ],
  };
}

/** How long something took: half of it, 85 of 100, and 95 of 100 at most. */
export function durationChart<Name extends string>(
  { buckets }: { buckets: (Span & Record<Name, Durations>)[] },
  name: Name,
  bucket: Bucket,
): ChartData {
  const of = (key: "p50_s" | "p85_s" | "p95_s") => buckets.map((span) => span[name][key]);
  return {
    kind: "line",
    ...inTime(buckets, bucket),
    unit: "duration",
    series: [
      { label: "Median", colour: "accent", values: of("p50_s") },
      { label: "85th percentile", colour: "stage-active", values: of("p85_s") },
      { label: "95th percentile", colour: "bad", values: of("p95_s") },
    ],
  };
}

/** What a range's durations come to. */
export function durationHeadlines({ p50_s, p85_s, p95_s, count }: Durations): Headline[] {
  return [
    { label: "median", value: figure(p50_s, "duration") },
    { label: "85th", value: figure(p85_s, "duration") },
    { label: "95th", value: figure(p95_s, "duration") },
    { label: count === 1 ? "mission" : "missions", value: figure(count, "count") },
  ];
}

/** How many agents were at work at a time, on average: the sum of their shares. */
export function atWorkChart({ agents }: Figures["utilisation"], bucket: Bucket): ChartData {
  const buckets = agents[0]?.buckets ?? [];
  return {
    kind: "bars",
    ...inTime(buckets, bucket),
    unit: "count",
    series: [
      {
        label: "Agents at work",
        colour: "stage-active",
        values: buckets.map((_, index) =>
          agents.reduce((sum, agent) => sum + (agent.buckets[index]?.share ?? 0), 0),
        ),
      },
    ],
  };
}

/** Which share of the time each agent worked, the busiest first. */
export function utilisationChart(
  { agents }: Figures["utilisation"],
  nameOf: (id: string) => string,
): ChartData {
  const ordered = agents.toSorted((a, b) => (b.share ?? 0) - (a.share ?? 0));
  return {
    kind: "rows",
    over: "Agent",
    labels: ordered.map(({ agent_id }) => nameOf(agent_id)),
    unit: "share",
    series: [{ label: "Busy", colour: "stage-active", values: ordered.map(({ share }) => share) }],
  };
}
