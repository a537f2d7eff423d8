import { create } from "zustand";
import { forgetDrafts } from "@/lib/drafts";
import { forgetRecent } from "@/lib/recent";
import { HINT, takeToken } from "./early";
import { Problem } from "./problem";

/** Renewed this long before it ends, so that no request carries one that has ended on its way. */
const RENEW_BEFORE_S = 60;

type Token = { access_token: string; expires_in: number };

type Session = {
  /** `unknown` until the server was asked whether this browser has a session. */
  state: "unknown" | "in" | "out";
  /** Whether the server ended it, and nobody here. */
  isEnded: boolean;
};

export const useSession = create<Session>(() => ({ state: "unknown", isEnded: false }));

let token: string | null = null;
let renewAt = 0;
let renewing: Promise<string | null> | null = null;

/** Returns a token that is good for a while; null where nobody is signed in. */
export async function accessToken(): Promise<string | null> {
  if (token !== null && Date.now() < renewAt) return token;
  if (localStorage.getItem(HINT) === null) {
    forget(useSession.getState().isEnded);
    return null;
  }
  renewing ??= renew().finally(() => {
    renewing = null;
  });
  return renewing;
}

/** Signs in with a password; throws the server's `Problem`. */
export async function signIn(credentials: {
  email: string;
  password: string;
  workspace?: string;
}): Promise<void> {
  const answer = await post("/api/auth/sign-in", credentials);
  if (!answer.ok) throw await refusal(answer);
  keep((await answer.json()) as Token);
}

/** Ends the session, here and on the server. */
export async function signOut(): Promise<void> {
  await post("/api/auth/sign-out");
  forget();
}

/** Forgets the token, which the server does not know any more, and what was kept for whoever was signed in. */
export function forget(isEnded = false): void {
  token = null;
  renewAt = 0;
  localStorage.removeItem(HINT);
  forgetRecent();
  forgetDrafts();
  useSession.setState({ state: "out", isEnded });
}

/** Lets the next request ask for another token. */
export function expire(): void {
  renewAt = 0;
}

/** Reads a refusal from an answer. */
export async function refusal(answer: Response): Promise<Problem> {
  const body = await answer.json().catch(() => ({}));
  return new Problem(
    answer.status,
    body.code ?? "error",
    body.detail ?? "Something went wrong.",
    body.field,
    Number(answer.headers.get("retry-after")) || undefined,
    body.id,
  );
}

async function renew(): Promise<string | null> {
  const asked = takeToken();
  const answer = await (asked ? reached(asked) : post("/api/auth/token"));
  if (answer.status === 401) {
    forget(true);
    return null;
  }
  if (!answer.ok) throw await refusal(answer);
  keep((await answer.json()) as Token);
  return token;
}

function keep(given: Token): void {
  token = given.access_token;
  localStorage.setItem(HINT, "1");
  renewAt = Date.now() + (given.expires_in - RENEW_BEFORE_S) * 1000;
  useSession.setState({ state: "in", isEnded: false });
}

async function post(path: string, body?: unknown): Promise<Response> {
  return reached(
    fetch(path, {
      method: "POST",
      credentials: "same-origin",
      headers: body === undefined ? {} : { "content-type": "application/json" },
      body: body === undefined ? null : JSON.stringify(body),
    }),
  );
}

async function reached(answer: Promise<Response>): Promise<Response> {
  try {
    return await answer;
  } catch {
    throw new Problem(0, "network", "The server can't be reached.");
  }
}
