/** What the page asked the server for before this script was there, by `early.ts`: whoever takes a promise here asks no more. */
type Early = {
  token: Promise<Response> | null;
  /** Of the API: what was asked for with that token. */
  path: string | null;
  /** Null where it was not given. */
  answer: Promise<Response | null> | null;
};

declare global {
  interface Window {
    early?: Early;
  }
}

/** Says that this browser has signed in once: without it, asking for a token would only fail, loudly. */
export const HINT = "mc-signed-in";

/** Returns the answer to the first question for a token, once. */
export function takeToken(): Promise<Response> | null {
  const { early } = window;
  const token = early?.token ?? null;
  if (early !== undefined) early.token = null;
  return token;
}

/** Returns what the server said to a path of the API, once; null where it was not asked for, or not given. */
export async function takeAnswer(path: string): Promise<Response | null> {
  const { early } = window;
  if (early?.path !== path) return null;
  const { answer } = early;
  early.answer = null;
  return answer;
}
