import { expect, test } from "vitest";
import { outcomeOf, Problem } from "./problem";
import { KEY, repeatable } from "./repeatable";

const LOST = outcomeOf(new Problem(0, "network", "The server can't be reached."));
const REFUSED = outcomeOf(new Problem(409, "wip_limit", "the column is full"));

/** Sends a command that fails, or not; returns the key it was sent with. */
async function sent(once: ReturnType<typeof repeatable>, what: unknown, failure?: Problem) {
  let key = "";
  const sending = once(what, async (headers) => {
    key = headers[KEY];
    if (failure !== undefined) throw failure;
  });
  if (failure === undefined) await sending;
  else await expect(sending).rejects.toBe(failure);
  return key;
}

test("what got no answer is asked again under the same key, until it has one", async () => {
  const once = repeatable();
  const first = await sent(once, { title: "Sails" }, LOST);
  expect(await sent(once, { title: "Sails" }, LOST)).toBe(first);
  expect(await sent(once, { title: "Sails" })).toBe(first);
  expect(await sent(once, { title: "Sails" })).not.toBe(first);
});

test("another command, and one that was refused, have keys of their own", async () => {
  const once = repeatable();
  const first = await sent(once, { title: "Sails" }, LOST);
  expect(await sent(once, { title: "Oars" }, LOST)).not.toBe(first);
  expect(await sent(once, { title: "Sails" }, REFUSED)).toBe(first);
  expect(await sent(once, { title: "Sails" })).not.toBe(first);
});

test("nobody knows whether a command was done where no answer came, or one that does not know", () => {
  const outcome = (status: number, code: string) => outcomeOf(new Problem(status, code, "?")).code;
  expect(outcome(0, "network")).toBe("outcome_unknown");
  expect(outcome(504, "error")).toBe("outcome_unknown");
  expect(outcome(503, "outcome_unknown")).toBe("outcome_unknown");
  expect(outcome(503, "log_unavailable")).toBe("log_unavailable");
  expect(outcome(409, "wip_limit")).toBe("wip_limit");
});
