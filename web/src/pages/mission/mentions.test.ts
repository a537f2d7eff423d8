import { describe, expect, it } from "vitest";
import { mentioningAt, mentionsIn } from "./mentions";

const everybody = [
  { id: "1", name: "Ines Falk" },
  { id: "2", name: "Ines Weber" },
  { id: "3", name: "Tomas Brandt" },
  { id: "4", name: "Keel" },
];

describe("mentions", () => {
  it("are found by whole names, or by a first name that only one has", () => {
    expect(mentionsIn("@Ines Falk and @tomas, @Keel!", everybody)).toEqual(["1", "3", "4"]);
    expect(mentionsIn("@Ines which one?", everybody)).toEqual([]);
  });

  it("are not addresses, nor longer words", () => {
    expect(mentionsIn("mail tomas@Keel.example, @Keels", everybody)).toEqual([]);
  });

  it("are completed where the caret stands behind an @", () => {
    expect(mentioningAt("Hello @In", 9)).toEqual({ at: 6, text: "In" });
    expect(mentioningAt("Hello @Ines F", 13)).toEqual({ at: 6, text: "Ines F" });
    expect(mentioningAt("a@b", 3)).toBeNull();
    expect(mentioningAt("@Ines Falk said so", 18)).toBeNull();
  });
});
