import { afterEach, expect, test, vi } from "vitest";
import { deleteView, followViews, readViews, saveView, useSavedViews } from "./savedViews";

afterEach(() => vi.unstubAllGlobals());

test("views that were stored are read, and what makes no sense in them is left out", () => {
  const stored = [
    { name: "Mine", view: { q: "hull", group: "priority", priority: ["high", "odd"], at: 4 } },
    { name: 3, view: {} },
    { name: "Nothing", view: null },
    null,
  ];
  expect(readViews(JSON.stringify(stored))).toEqual([
    { name: "Mine", view: { q: "hull", group: "priority", priority: ["high"] } },
  ]);
});

test("nothing stored, or something else in its place, is no view", () => {
  expect(readViews(null)).toEqual([]);
  expect(readViews("{}")).toEqual([]);
  expect(readViews("not JSON")).toEqual([]);
});

test("a view that another tab keeps stays there when one is kept or deleted here, and is shown", () => {
  const kept = new Map<string, string>();
  const heard: ((event: { key: string }) => void)[] = [];
  vi.stubGlobal("localStorage", {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => kept.set(key, value),
  });
  vi.stubGlobal("window", {
    addEventListener: (_: string, listener: (event: { key: string }) => void) =>
      heard.push(listener),
  });
  const names = () => useSavedViews.getState().views.map(({ name }) => name);
  const keepElsewhere = (...views: string[]) =>
    kept.set("mc-views:ada", JSON.stringify(views.map((name) => ({ name, view: {} }))));

  followViews("ada");
  keepElsewhere("VA");
  saveView("VB", { priority: ["high"] });
  expect(names()).toEqual(["VA", "VB"]);
  keepElsewhere("VA", "VB", "VC");
  deleteView("VB");
  expect(readViews(kept.get("mc-views:ada") ?? null).map(({ name }) => name)).toEqual(["VA", "VC"]);

  keepElsewhere("VD");
  for (const tell of heard) tell({ key: "mc-views:zoe" });
  expect(names()).toEqual(["VA", "VC"]);
  for (const tell of heard) tell({ key: "mc-views:ada" });
  expect(names()).toEqual(["VD"]);
});
