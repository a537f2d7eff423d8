/**
 * What the first page asks of the server while its script is still on its way: a token, and then what the page
 * shows. A script of its own that needs no other, so that it runs first; whoever takes a promise here asks no more.
 */

/** Says that this browser has signed in once: without it, asking for a token would only fail, loudly. */
export const HINT = "mc-signed-in";

// Tests run where there is no browser.
const isInBrowser = typeof window !== "undefined";
let token = isInBrowser && localStorage.getItem(HINT) !== null ? askForToken() : null;
const shown = isInBrowser ? shownAt(location) : null;
// No more than this: on a slow line the script would share it with more.
let found = token !== null && shown !== null ? ask(shown, token) : null;
if (token !== null && isOfAMission(location)) {
  // Its script would else be asked for by the router only, when all the rest is there. Words on the screen come first.
  requestAnimationFrame(() => setTimeout(() => import("@/pages/mission").catch(() => {})));
}

/** Returns the answer to the first question for a token, once. */
export function takeToken(): Promise<Response> | null {
  const taken = token;
  token = null;
  return taken;
}

/** Returns what the server said to a path of the API, once; null where it was not asked for, or not given. */
export async function takeAnswer(path: string): Promise<Response | null> {
  if (path !== shown) return null;
  const taken = found;
  found = null;
  return taken;
}

/** Asks for a token by the session that the browser has. */
export function askForToken(): Promise<Response> {
  return fetch("/api/auth/token", { method: "POST", credentials: "same-origin" });
}

/** Returns the path of the document that most of a page is drawn from. */
function shownAt(page: Location): string | null {
  if (page.pathname === "/") return "/api/missions/board";
  return isOfAMission(page) && page.search === "" ? `/api${page.pathname}` : null;
}

function isOfAMission({ pathname }: Location): boolean {
  return pathname.startsWith("/missions/");
}

async function ask(path: string, granting: Promise<Response>): Promise<Response | null> {
  try {
    const granted = await granting;
    if (!granted.ok) return null;
    const { access_token } = await granted.clone().json();
    const answer = await fetch(path, { headers: { authorization: `Bearer ${access_token}` } });
    return answer.ok ? answer : null;
  } catch {
    return null; // it is asked for again, by who says what went wrong
  }
}
