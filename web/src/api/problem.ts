/** A refusal of the server (RFC 9457), or `network` where none answered. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly field?: string,
    /** How long to wait before it makes sense to try again. */
    readonly retryAfterS?: number,
  ) {
    super(detail);
    this.name = "Problem";
  }
}

/** Returns any error as a problem that can be shown. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem(0, "network", "The server can't be reached.");
}
