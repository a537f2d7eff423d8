import { expect, it } from "vitest";
import { waitText } from "./wait";

it.each([
  [1, "1 s"],
  [59, "59 s"],
  [60, "1:00 min"],
  [245, "4:05 min"],
])("says %d seconds as %s", (seconds, text) => {
  expect(waitText(seconds)).toBe(text);
});
