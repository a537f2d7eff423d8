import createClient, { type Middleware } from "openapi-fetch";
import { takeAnswer } from "./early";
import { outcomeOf, Problem, problemOf } from "./problem";
import { KEY } from "./repeatable";
import type { components, paths } from "./schema";
import { accessToken, expire, refusal } from "./session";

const authorised: Middleware = {
  async onRequest({ request }) {
    const token = await accessToken();
    if (token !== null) request.headers.set("authorization", `Bearer ${token}`);
    // A proxy may send a command again whose answer it did not get: the second is answered as the first.
    if (request.method !== "GET" && !request.headers.has(KEY)) {
      request.headers.set(KEY, crypto.randomUUID());
    }
    return request;
  },
  async onResponse({ request, response }) {
    if (response.status === 401) expire();
    if (response.ok || response.status === 304) return undefined;
    throw problemOfAnswer(request, await refusal(response));
  },
  onError({ request, error }) {
    return error instanceof Problem ? error : problemOfAnswer(request, problemOf(error));
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

const problemOfAnswer = ({ method }: Request, problem: Problem) =>
  method === "GET" ? problem : outcomeOf(problem);

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
