// @vitest-environment happy-dom
import { beforeEach, expect, it, vi } from "vitest";
import type { Me, Mission } from "@/models/types";
import { draftName, draftOf, dropDraft, forgetDrafts, keepDraft } from "./drafts";

const me = { id: "me", workspace: { id: "home" } } as Me;
const name = draftName(me, "mission", "comment");

beforeEach(() => sessionStorage.clear());

it("keeps what is written, and what it was before, until it is dropped", () => {
  const base = { id: "mission", description: "As it was" } as Mission;
  keepDraft(name, { text: "half a", base });
  expect(draftOf(name)).toMatchObject({ text: "half a", base });
  dropDraft(name);
  expect(draftOf(name)).toBeUndefined();
});

it("takes nothing for no draft, and keeps none for nobody", () => {
  keepDraft(name, { text: "half" });
  keepDraft(name, { text: "  " });
  keepDraft(undefined, { text: "half" });
  expect(sessionStorage.length).toBe(0);
});

it("shows nobody what another writes, here or in another workspace", () => {
  keepDraft(name, { text: "mine" });
  expect(draftOf(draftName({ ...me, id: "other" }, "mission", "comment"))).toBeUndefined();
  const away = { ...me, workspace: { ...me.workspace, id: "away" } };
  expect(draftOf(draftName(away, "mission", "comment"))).toBeUndefined();
});

it("forgets all drafts, and nothing else", () => {
  sessionStorage.setItem("other", "stays");
  keepDraft(name, { text: "mine" });
  forgetDrafts();
  expect(Object.keys(sessionStorage)).toEqual(["other"]);
});

it("keeps so many, and gives up the one that was longest untouched", () => {
  const names = Array.from({ length: 17 }, (_, at) => draftName(me, `mission ${at}`, "comment"));
  vi.useFakeTimers();
  for (const [at, each] of names.entries()) {
    vi.setSystemTime(at);
    keepDraft(each, { text: "x" });
    if (at === 15) keepDraft(names[0], { text: "touched" });
  }
  vi.useRealTimers();
  expect(sessionStorage.length).toBe(16);
  expect(draftOf(names[0])).toBeDefined();
  expect(draftOf(names[1])).toBeUndefined();
});

it("keeps none that is too long to store", () => {
  keepDraft(name, { text: "x".repeat(200_000) });
  expect(sessionStorage.length).toBe(0);
});

it("takes what makes no sense for no draft", () => {
  for (const stored of ["not JSON", "{}", "null", '{"text": 1, "at": 1}']) {
    sessionStorage.setItem(`mc-draft ${name}`, stored);
    expect(draftOf(name)).toBeUndefined();
  }
});
