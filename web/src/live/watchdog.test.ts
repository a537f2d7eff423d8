import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Watchdog } from "./watchdog";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function watched(silenceMs: number) {
  const silent = vi.fn();
  return { silent, watchdog: new Watchdog(silenceMs, silent) };
}

test("a line is dead when nothing was heard for so long", () => {
  const { silent, watchdog } = watched(1_000);
  vi.advanceTimersByTime(900);
  watchdog.heard();
  vi.advanceTimersByTime(900);
  expect(silent).not.toHaveBeenCalled();
  vi.advanceTimersByTime(100);
  expect(silent).toHaveBeenCalledOnce();
});

test("after a sleep, in which timers stand still, the clock tells", () => {
  const { silent, watchdog } = watched(1_000);
  watchdog.check();
  expect(silent).not.toHaveBeenCalled();
  vi.setSystemTime(Date.now() + 1_001);
  watchdog.check();
  expect(silent).toHaveBeenCalledOnce();
});

test("who stopped listening is told nothing", () => {
  const { silent, watchdog } = watched(1_000);
  watchdog.stop();
  vi.advanceTimersByTime(5_000);
  expect(silent).not.toHaveBeenCalled();
});
