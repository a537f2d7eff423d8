import { isUnknown } from "./problem";

/** The name that a caller gives a command: the same once more is answered as the first. */
export const KEY = "idempotency-key";

/**
 * Returns how to send commands that whoever asked for them may ask for again. Where it isn't known whether one was
 * done, the same once more has the same key: it is done once. `what` is all that makes it the same; sent are the
 * `headers` that `send` is given.
 */
export function repeatable() {
  const open = new Map<string, string>();
  return async <T>(what: unknown, send: (headers: { [KEY]: string }) => Promise<T>): Promise<T> => {
    const name = JSON.stringify(what);
    const key = open.get(name) ?? crypto.randomUUID();
    open.delete(name);
    try {
      return await send({ [KEY]: key });
    } catch (error) {
      if (isUnknown(error)) open.set(name, key);
      throw error;
    }
  };
}
