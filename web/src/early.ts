/**
 * What the first page asks of the server while its script is still on its way: a token, and then what the page
 * shows. A script of its own that needs no other, so that it runs first; whoever takes a promise here asks no more.
 */

/** Says that this browser has signed in once: without it, asking for a token would only fail, loudly. */
export const HINT = "mc-signed-in";
/** The board of the workspace itself. */
export const OWN_BOARD = "/api/missions/board";

// Tests run where there is no browser.
const isInBrowser = typeof window !== "undefined";
let token = isInBrowser && localStorage.getItem(HINT) !== null ? askForToken() : null;
const shown = isInBrowser ? shownAt(location) : null;
let found = token !== null && shown !== null ? askFor(shown, token) : null;
// Its script would else be asked for by the router only, when all the rest is there.
if (token !== null && isOfAMission(location)) void import("@/pages/mission").catch(() => {});

/** Returns the answer to the first question for a token, once. */
export function takeToken(): Promise<Response> | null {
  const taken = token;
  token = null;
  return taken;
}

/** Returns the document at a path of the API, once; null where it was not asked for, or not given. */
export async function takeDocument<Document>(path: string): Promise<Document | null> {
  if (path !== shown) return null;
  const taken = found;
  found = null;
  return taken as Promise<Document | null> | null;
}

/** Asks for a token by the session that the browser has. */
export function askForToken(): Promise<Response> {
  return fetch("/api/auth/token", { method: "POST", credentials: "same-origin" });
}

/** Returns the path of the document that most of a page is drawn from. */
function shownAt(page: Location): string | null {
  if (page.pathname === "/") return OWN_BOARD;
  return isOfAMission(page) && page.search === "" ? `/api${page.pathname}` : null;
}

function isOfAMission({ pathname }: Location): boolean {
  return pathname.startsWith("/missions/");
}

async function askFor(path: string, answer: Promise<Response>): Promise<unknown> {
  try {
    const given = await answer;
    if (!given.ok) return null;
    const { access_token } = await given.clone().json();
    const document = await fetch(path, { headers: { authorization: `Bearer ${access_token}` } });
    return document.ok ? await document.json() : null;
  } catch {
    return null; // it is asked for again, by who says what went wrong
  }
}
