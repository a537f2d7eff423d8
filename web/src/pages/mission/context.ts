import { createContext, use } from "react";
import type { Someone } from "@/api/queries";
import { draftName } from "@/lib/drafts";
import type { Column, Me, Mission } from "@/models/types";

/** What the parts of a mission's view need to know. */
export type MissionView = {
  mission: Mission;
  me: Me | undefined;
  /** The columns of its board; empty until they are known. */
  columns: Column[];
  nameOf: (id: string) => Someone;
  /** May change what is written, move, assign, review. False in the past. */
  mayEdit: boolean;
  mayComment: boolean;
  /** The moment that is shown; absent is now. */
  asOf: string | undefined;
  /** When that was. */
  asOfTime: string | undefined;
};

export const MissionContext = createContext<MissionView | null>(null);

/** The mission that is shown around a component. */
export function useMission(): MissionView {
  const view = use(MissionContext);
  if (view === null) throw new Error("not within a mission");
  return view;
}

/** The name of what somebody writes here, by which it is kept; there is none until it is known who they are. */
export function useDraftName(kind: string): string | undefined {
  const { me, mission } = useMission();
  return me && draftName(me, mission.id, kind);
}
