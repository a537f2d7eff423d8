import { expect, test } from "vitest";
import type { Card } from "@/models/types";
import { outcome } from "./bulk";
import { between } from "./selection";
import type { Row } from "./view";

const row = (id: string): Row => ({ kind: "card", card: { id } as Card, group: "" });

test("what came of a bulk command is told in one sentence, with why something was refused", () => {
  const no = (title: string) => ({ title, message: "Review is full." });
  expect(outcome(1, [], "cancelled")).toBe("1 mission cancelled");
  expect(outcome(3, [], "cancelled")).toBe("3 missions cancelled");
  expect(outcome(3, [no("A")], "moved to Review")).toBe(
    "2 of 3 missions moved to Review. Not “A”: Review is full.",
  );
  expect(outcome(2, [no("A"), no("B")], "moved to Review")).toBe(
    "0 of 2 missions moved to Review. Not “A” and 1 more: Review is full.",
  );
  expect(outcome(0, [], "moved to Done")).toBe("Nothing to do: already moved to Done");
});

test("Shift chooses what lies between in a column, up or down, and no heads of groups", () => {
  const rows: Row[] = [row("1"), { kind: "head", group: "low", count: 2 }, row("2"), row("3")];
  expect(between("1", "3", rows)).toEqual(["1", "2", "3"]);
  expect(between("3", "2", rows)).toEqual(["2", "3"]);
  expect(between("elsewhere", "2", rows)).toEqual(["2"]);
  expect(between(null, "2", rows)).toEqual(["2"]);
});
