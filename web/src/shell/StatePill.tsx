import { useEffect, useState } from "react";
import { cn } from "@/lib/text";
import { useLiveState } from "@/live/state";
import { useMoment } from "./moment";
import { PastPill } from "./PastPill";

/** A reconnect that takes less is nobody's concern. */
const PATIENCE_MS = 600;

/** Of the page's state: that it shows the past, or how fresh it is; offline it is in the past as well. */
export function StatePill() {
  const { at, isPast } = useMoment();
  return (
    <>
      <LivePill isPast={isPast} />
      {at !== undefined && <PastPill at={at} />}
    </>
  );
}

/** Whether what is shown is live, a few events behind, or from before the line broke. */
function LivePill({ isPast }: { isPast: boolean }) {
  const now = useLiveState();
  const [shown, setShown] = useState(now);
  useEffect(() => {
    if (now.state === "live") {
      setShown(now);
      return;
    }
    const timer = setTimeout(() => setShown(now), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [now]);
  const { state, behind } = shown;
  if (isPast && state !== "offline") return null;
  const text = {
    connecting: "Connecting",
    live: "Live",
    offline: "Offline",
    "catching-up": `Catching up (${behind})`,
  }[state];
  return (
    <span
      role="status"
      aria-label={`Updates: ${text}`}
      data-state={state}
      className="tabular inline-flex h-6 shrink-0 items-center gap-1.5 rounded-full border border-line px-2 text-sm text-ink-2"
    >
      <span
        className={cn(
          "size-1.5 rounded-full",
          state === "live" && "bg-good",
          state === "offline" && "bg-bad",
          (state === "catching-up" || state === "connecting") && "animate-pulse bg-warn",
        )}
      />
      <span className={cn(state === "live" && "max-sm:sr-only")}>{text}</span>
    </span>
  );
}
