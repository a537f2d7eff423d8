import { create } from "zustand";

/** What the pill in the top bar says. `behind` is how many positions are still to come. */
type LiveState =
  | { state: "connecting" | "live" | "offline"; behind: 0 }
  | { state: "catching-up"; behind: number };

export const useLiveState = create<LiveState>(() => ({ state: "connecting", behind: 0 }));
