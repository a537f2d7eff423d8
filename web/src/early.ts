/**
 * What the first page asks of the server while its script is still on its way: a token, and then what most of the
 * page is drawn from. It stands in the page itself, so it imports nothing; `api/early.ts` takes what it asked for.
 */

const HINT: typeof import("./api/early").HINT = "mc-signed-in";
/** Of the script of a mission's page: `vite.config.ts` puts them in. */
declare const MISSION_PARTS: readonly string[];

if (localStorage.getItem(HINT) !== null) {
  const { pathname, search } = location;
  const isOfAMission = pathname.startsWith("/missions/");
  const token = fetch("/api/auth/token", { method: "POST", credentials: "same-origin" });
  // No more than this: on a slow line the script would share it with more.
  const path =
    pathname === "/"
      ? "/api/missions/board"
      : isOfAMission && search === ""
        ? `/api${pathname}`
        : null;
  window.early = { token, path, answer: path === null ? null : ask(path, token) };
  // The router would ask for it only when all the rest is there. Words on the screen come first.
  if (isOfAMission) requestAnimationFrame(() => setTimeout(() => MISSION_PARTS.forEach(preload)));
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

function preload(href: string): void {
  const link = document.createElement("link");
  Object.assign(link, { rel: "modulepreload", crossOrigin: "", href });
  document.head.append(link);
}
