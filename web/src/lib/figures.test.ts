import { expect, it } from "vitest";
import { csv } from "./csv";
import { duration, figure } from "./figures";

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

it("quotes what needs it in CSV, and keeps a formula a word", () => {
  expect(csv([["a,b", 'say "x"', "=1+1", -2, null]])).toBe(`"a,b","say ""x""",'=1+1,-2,\r\n`);
});
