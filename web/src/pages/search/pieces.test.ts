import { expect, it } from "vitest";
import { pieces } from "./pieces";

it("reads marks and entities", () => {
  expect(pieces("We can&#x27;t <mark>tell</mark> &lt;b&gt;")).toEqual([
    { text: "We can't ", isMarked: false },
    { text: "tell", isMarked: true },
    { text: " <b>", isMarked: false },
  ]);
});

it("unescapes once, and takes no other tag for one", () => {
  expect(pieces("&amp;lt;<i>x</i>")).toEqual([{ text: "&lt;<i>x</i>", isMarked: false }]);
});
