import type { BoardDocument } from "./models/board";

/**
 * What the first page asks of the server while its script is still on its way: a token, and on `/` the board. A
 * script of its own that needs no other, so that it runs first; whoever takes a promise here asks no more.
 */

/** Says that this browser has signed in once: without it, asking for a token would only fail, loudly. */
export const HINT = "mc-signed-in";

// Tests run where there is no browser.
const isInBrowser = typeof window !== "undefined";
let token = isInBrowser && localStorage.getItem(HINT) !== null ? askForToken() : null;
let board = token !== null && location.pathname === "/" ? askForBoard(token) : null;

/** Returns the answer to the first question for a token, once. */
export function takeToken(): Promise<Response> | null {
  const taken = token;
  token = null;
  return taken;
}

/** Returns the document of the workspace's own board, once; null where it was not asked for, or not given. */
export async function takeBoard(): Promise<BoardDocument | null> {
  const taken = board;
  board = null;
  return taken;
}

/** Asks for a token by the session that the browser has. */
export function askForToken(): Promise<Response> {
  return fetch("/api/auth/token", { method: "POST", credentials: "same-origin" });
}

async function askForBoard(answer: Promise<Response>): Promise<BoardDocument | null> {
  try {
    const given = await answer;
    if (!given.ok) return null;
    const { access_token } = await given.clone().json();
    const found = await fetch("/api/missions/board", {
      headers: { authorization: `Bearer ${access_token}` },
    });
    return found.ok ? await found.json() : null;
  } catch {
    return null; // it is asked for again, by who says what went wrong
  }
}
