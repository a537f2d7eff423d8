/** How a figure reads: a number of things, seconds, or a share of 1. */
export type Unit = "count" | "duration" | "share";

const COUNT = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const PERCENT = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 0 });
const SMALL_PERCENT = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
const SMALL_SHARE = 0.1;
const SPANS: [string, number][] = [
  ["d", 86_400],
  ["h", 3_600],
  ["m", 60],
];

/** Returns a duration in a few characters: "42s", "1.5h", "12d". */
export function duration(seconds: number): string {
  for (const [unit, size] of SPANS) {
    const count = seconds / size;
    if (count >= 1) return `${count < 10 ? trimmed(count) : Math.round(count)}${unit}`;
  }
  return `${Math.round(seconds)}s`;
}

/** Returns a figure as people read it; what there is none of is a dash. */
export function figure(value: number | null | undefined, unit: Unit): string {
  if (value === null || value === undefined) return "–";
  if (unit === "duration") return duration(value);
  if (unit === "count") return COUNT.format(value);
  return (value > 0 && value < SMALL_SHARE ? SMALL_PERCENT : PERCENT).format(value);
}

function trimmed(count: number): string {
  return count.toFixed(1).replace(/\.0$/, "");
}
