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

/** Returns a tick of a scale, a share with as many decimals as the step to the next tick needs. */
export function tick(value: number, unit: Unit, step: number): string {
  if (unit !== "share" || !(step > 0)) return figure(value, unit);
  const decimals = decimalsOf(step * 100);
  const digits = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
  return new Intl.NumberFormat("en", { style: "percent", ...digits }).format(value);
}

/** Returns how many decimals a number has; what is beyond some is an error of its arithmetic. */
function decimalsOf(value: number): number {
  return Number(value.toPrecision(STEP_DIGITS)).toString().split(".")[1]?.length ?? 0;
}

const STEP_DIGITS = 3;

function trimmed(count: number): string {
  return count.toFixed(1).replace(/\.0$/, "");
}
