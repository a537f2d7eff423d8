import { expect, it } from "vitest";
import { isComposing } from "./keys";

it("leaves the keys of an input method to it, however a browser tells of them", () => {
  const key = (isComposing: boolean, keyCode: number) => ({
    nativeEvent: { isComposing, keyCode },
  });
  expect(isComposing(key(true, 13))).toBe(true);
  expect(isComposing(key(false, 229))).toBe(true);
  expect(isComposing(key(false, 13))).toBe(false);
});
