import { History } from "lucide-react";
import { useEffect } from "react";
import { toTheSecond } from "@/lib/time";
import { eventName } from "@/lib/timeline";
import { Key } from "@/ui/marks";
import { useTimeOf, useTravel } from "./moment";
import { useShortcuts } from "./shortcuts";

/** In place of the state: that this is the past, and the way back to now. The whole page looks like it meanwhile. */
export function PastPill({ at }: { at: string }) {
  const { go } = useTravel();
  const back = () => void go(undefined);
  useShortcuts([{ keys: "n", label: "Back to now", group: "Time travel", run: back }]);
  useEffect(() => {
    document.documentElement.dataset.past = "";
    return () => {
      delete document.documentElement.dataset.past;
    };
  }, []);
  const time = useTimeOf(at);
  const when = time === undefined ? eventName(at) : toTheSecond(time);
  return (
    <button
      type="button"
      onClick={back}
      data-state="past"
      title="Back to now (N)"
      className="transition-quick tabular inline-flex h-7 shrink-0 items-center gap-1.5 rounded-full border border-past px-2.5 text-sm text-past hover:bg-hover"
    >
      <History size={13} aria-hidden />
      <span className="max-sm:hidden">{when}</span>
      <span className="font-medium">Back to now</span>
      <span className="max-md:hidden">
        <Key>N</Key>
      </span>
    </button>
  );
}
