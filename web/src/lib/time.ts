const MINUTE_S = 60;
/** Each from how many seconds on, and how many it has: "13d ago" says more than "last wk." does. */
const UNITS: [Intl.RelativeTimeFormatUnit, number, number][] = [
  ["year", 2 * 31_536_000, 31_536_000],
  ["month", 2 * 2_592_000, 2_592_000],
  ["week", 2 * 604_800, 604_800],
  ["day", 86_400, 86_400],
  ["hour", 3_600, 3_600],
  ["minute", MINUTE_S, MINUTE_S],
];
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "narrow" });
const ABSOLUTE = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });
const SECOND_STYLE: Intl.DateTimeFormatOptions = {
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
};
const MOMENT = new Intl.DateTimeFormat("en", SECOND_STYLE);
const MOMENT_OF_A_YEAR = new Intl.DateTimeFormat("en", { ...SECOND_STYLE, year: "numeric" });
const DAY_STYLE: Intl.DateTimeFormatOptions = { month: "short", day: "numeric" };
const DAY = new Intl.DateTimeFormat("en", DAY_STYLE);
const DAY_OF_A_YEAR = new Intl.DateTimeFormat("en", { ...DAY_STYLE, year: "numeric" });

/** How long ago, or until when, in a few characters: "now", "4m ago", "in 2d". */
export function relative(time: string, now: number = Date.now()): string {
  const seconds = (Date.parse(time) - now) / 1000;
  for (const [unit, from, size] of UNITS) {
    if (Math.abs(seconds) >= from) return RELATIVE.format(Math.trunc(seconds / size), unit);
  }
  return "now";
}

/** The whole moment, for tooltips. */
export function absolute(time: string): string {
  return ABSOLUTE.format(new Date(time));
}

/** A moment to the second: "Nov 18, 09:42:53", with its year where that is not this one. */
export function toTheSecond(time: number, now: number = Date.now()): string {
  return (isOfThisYear(time, now) ? MOMENT : MOMENT_OF_A_YEAR).format(time);
}

/** A day: "Mar 4", with its year where that is not this one. */
export function day(time: string, now: number = Date.now()): string {
  const at = Date.parse(time);
  return (isOfThisYear(at, now) ? DAY : DAY_OF_A_YEAR).format(at);
}

const isOfThisYear = (time: number, now: number) =>
  new Date(time).getFullYear() === new Date(now).getFullYear();
