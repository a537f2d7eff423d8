import { expect, it } from "vitest";
import { csv } from "./csv";
import { duration, figure, tick } from "./figures";

it("shows a duration in its largest unit", () => {
  expect([0.4, 59, 60, 90, 3_600, 45_000, 129_600, 864_000].map(duration)).toEqual([
    "0s",
    "59s",
    "1m",
    "1.5m",
    "1h",
    "13h",
    "1.5d",
    "10d",
  ]);
});

it("shows a figure by its unit, and a dash where there is none", () => {
  expect(figure(null, "count")).toBe("–");
  expect(figure(1234.56, "count")).toBe("1,234.6");
  expect(figure(0.0512, "share")).toBe("5.1%");
  expect(figure(0.512, "share")).toBe("51%");
  expect(figure(0, "share")).toBe("0%");
});

it("tells the ticks of a scale apart, however small its range is", () => {
  const ticks = (unit: "share" | "count" | "duration", step: number) =>
    [0, 1, 2, 3].map((number) => tick(number * step, unit, step));
  expect(ticks("share", 0.0005)).toEqual(["0.00%", "0.05%", "0.10%", "0.15%"]);
  expect(ticks("share", 0.025)).toEqual(["0.0%", "2.5%", "5.0%", "7.5%"]);
  expect(ticks("share", 0.01)).toEqual(["0%", "1%", "2%", "3%"]);
  expect(ticks("share", 0.1)).toEqual(["0%", "10%", "20%", "30%"]);
  expect(ticks("share", 0.1 + 0.2 - 0.2)).toEqual(["0%", "10%", "20%", "30%"]);
  expect(ticks("count", 1_000)).toEqual(["0", "1,000", "2,000", "3,000"]);
  expect(ticks("duration", 60)).toEqual(["0s", "1m", "2m", "3m"]);
  expect(tick(0.5, "share", Number.NaN)).toBe("50%");
});

it("quotes what needs it in CSV, and keeps a formula a word", () => {
  expect(csv([["a,b", 'say "x"', "=1+1", -2, null]])).toBe(`"a,b","say ""x""",'=1+1,-2,\r\n`);
});
