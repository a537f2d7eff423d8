/** A refusal of the server (RFC 9457), or `network` where none answered. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly field?: string,
    /** How long to wait before it makes sense to try again. */
    readonly retryAfterS?: number,
    /** What it is about, where the server says so. */
    readonly id?: string,
  ) {
    super(detail);
    this.name = "Problem";
  }
}

/** Of a command: it may have been done, and it may not. */
const UNKNOWN = "outcome_unknown";
/** What a proxy answers whose server gave no answer. */
const UNANSWERED = [502, 504];

/** Returns what became of a command, as far as that is known: without an answer, that nobody knows. */
export function outcomeOf(problem: Problem): Problem {
  const { status, code } = problem;
  if (status !== 0 && !UNANSWERED.includes(status) && code !== UNKNOWN) return problem;
  return new Problem(status, UNKNOWN, "No answer came: it isn't known whether this was done.");
}

/** Whether a command may have been done all the same. */
export const isUnknown = (error: unknown) => problemOf(error).code === UNKNOWN;

/** Returns any error as a problem that can be shown. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem(0, "network", "The server can't be reached.");
}
