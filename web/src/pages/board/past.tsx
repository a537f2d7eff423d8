import { ArrowRight, History, PencilLine, Trash2 } from "lucide-react";
import { createContext, use } from "react";
import { problemOf } from "@/api/problem";
import { useTravel } from "@/shell/moment";
import { Button } from "@/ui/Button";
import { Empty, Failure } from "@/ui/states";
import { NONE, type Since } from "./differences";

export const SinceContext = createContext<Since>(NONE);

/** On a card of the past: what became of it since. Nothing where it is the same now. */
export function SinceMark({ cardId }: { cardId: string }) {
  const found = use(SinceContext).cards.get(cardId);
  if (found === undefined) return null;
  const [Icon, text] =
    found.kind === "gone"
      ? ([Trash2, "Not here now"] as const)
      : found.kind === "moved"
        ? ([ArrowRight, `Now in ${found.to}`] as const)
        : ([PencilLine, `Changed since: ${found.what.join(", ")}`] as const);
  return (
    <p className="flex items-center gap-1.5 border-t border-line pt-1.5 text-sm text-past">
      <Icon size={12} aria-hidden className="shrink-0" />
      <span className="truncate" title={text}>
        {text}
      </span>
    </p>
  );
}

/**
 * Over a board of the past: what it is, and how much of it differs from now. Where it `isOverdue` the board is still
 * that of another moment.
 */
export function PastBar({ isOverdue }: { isOverdue: boolean }) {
  const { cards, added } = use(SinceContext);
  const count = (kind: string) => [...cards.values()].filter((each) => each.kind === kind).length;
  const parts = [
    [count("moved"), "moved since"],
    [count("changed"), "changed since"],
    [count("gone"), "not here now"],
    [added, "came later"],
  ].filter(([number]) => number !== 0);
  return (
    <div className="tabular flex min-h-8 shrink-0 flex-wrap items-center gap-x-3 border-b border-line bg-past-soft px-3 py-1 text-sm whitespace-nowrap text-past md:px-4">
      <span aria-live="polite" className="font-medium">
        {isOverdue ? "Not shown yet" : "The past, to look at only"}
      </span>
      {(isOverdue ? [] : parts).map(([number, what]) => (
        <span key={what}>
          {number} {what}
        </span>
      ))}
    </div>
  );
}

/** Where the board can't be shown as it was: mostly as there was none yet. */
export function NotYet({ error, retry }: { error: unknown; retry: () => void }) {
  const { go } = useTravel();
  const problem = problemOf(error);
  if (problem.status !== 404 && problem.status !== 422) {
    return <Failure error={error} retry={retry} />;
  }
  return (
    <div className="flex-1">
      <Empty
        icon={History}
        title={problem.status === 404 ? "Not there yet" : "No such moment"}
        action={<Button onClick={() => void go(undefined)}>Back to now</Button>}
      >
        {problem.status === 404
          ? "This board was made later than the moment that you are looking at."
          : "The address names a moment that is yet to come."}
      </Empty>
    </div>
  );
}
