import { cn } from "@/lib/text";
import type { FleetState } from "@/models/types";

export const STATE_NAMES: Record<FleetState, string> = {
  busy: "Working",
  available: "Available",
  offline: "Offline",
  inactive: "Deactivated",
  retired: "Retired",
};

const DOTS: Record<FleetState, string> = {
  busy: "bg-stage-active",
  available: "bg-good",
  offline: "border border-ink-3",
  inactive: "bg-bad",
  retired: "bg-line-strong",
};

/** An agent's state as a dot; a word stands beside it. */
export function StateDot({ state }: { state: FleetState }) {
  return <span aria-hidden className={cn("size-2 shrink-0 rounded-full", DOTS[state])} />;
}
