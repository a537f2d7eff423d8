import createClient, { type Middleware } from "openapi-fetch";
import { takeAnswer } from "./early";
import { Problem } from "./problem";
import type { components, paths } from "./schema";
import { accessToken, expire, refusal } from "./session";

const authorised: Middleware = {
  async onRequest({ request }) {
    const token = await accessToken();
    if (token !== null) request.headers.set("authorization", `Bearer ${token}`);
    // A proxy may send a command again whose answer it did not get: the second is answered as the first.
    if (request.method !== "GET") request.headers.set("idempotency-key", crypto.randomUUID());
    return request;
  },
  async onResponse({ response }) {
    if (response.status === 401) expire();
    if (response.ok || response.status === 304) return undefined;
    throw await refusal(response);
  },
  onError({ error }) {
    return error instanceof Problem
      ? error
      : new Problem(0, "network", "The server can't be reached.");
  },
};

/**
 * The API, typed by its OpenAPI document. A refusal is thrown as `Problem`, so `data` is always there.
 */
export const api = createClient<paths>({
  baseUrl: "/",
  credentials: "same-origin",
  fetch: async (request) => (await answeredEarly(request)) ?? fetch(request),
});
api.use(authorised);

async function answeredEarly({ method, url }: Request): Promise<Response | null> {
  const { pathname, search } = new URL(url);
  return method === "GET" ? takeAnswer(pathname + search) : null;
}

/** What a command answers with. */
export type Done = components["schemas"]["Done"];

/** Returns an answer's document. */
export async function body<T>(answer: Promise<{ data?: T }>): Promise<T> {
  return (await answer).data as T;
}
