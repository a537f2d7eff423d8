import { describe, expect, it } from "vitest";
import { type Command, distinct, matching } from "./commands";

const command = (label: string, group = "Everywhere", words?: string): Command => ({
  id: label,
  label,
  group,
  run: () => {},
  ...(words && { words }),
});
const COMMANDS = [
  command("Go to board", "Go to"),
  command("Go to audit", "Go to", "log events"),
  command("Dark theme"),
  command("Sign out", "Everywhere", "leave"),
];
const labels = (text: string) => matching(COMMANDS, text).map(({ label }) => label);

describe("commands by a text", () => {
  it("are all of them without one", () => {
    expect(matching(COMMANDS, " ")).toEqual(COMMANDS);
  });

  it("have every word of it", () => {
    expect(labels("go bo")).toEqual(["Go to board"]);
    expect(labels("go nowhere")).toEqual([]);
  });

  it("are found by what else they are called", () => {
    expect(labels("log")).toEqual(["Go to audit"]);
    expect(labels("LEAVE")).toEqual(["Sign out"]);
  });

  it("begin with it before they hold it", () => {
    expect(labels("d")[0]).toBe("Dark theme");
  });
});

it("keeps the last of two with the same label", () => {
  const other = command("Dark theme");
  expect(distinct([...COMMANDS, other]).filter(({ label }) => label === "Dark theme")).toEqual([
    other,
  ]);
});
