import { useMemo } from "react";
import { useLive } from "@/live/query";
import { changedBy, type Happening } from "@/models/timeline";
import { useMission } from "./context";
import { timelineModel } from "./model";

/** Returns which happenings had happened at the moment that is shown. */
export function useUntil(): (one: Happening) => boolean {
  const { asOf, asOfTime } = useMission();
  return useMemo(() => {
    if (asOf === undefined) return () => true;
    if (/^\d+$/.test(asOf)) return ({ position }) => position <= Number(asOf);
    return ({ recorded_at }) => asOfTime === undefined || recorded_at <= asOfTime;
  }, [asOf, asOfTime]);
}

/**
 * Returns whether a mission of the past is not there any more; undefined until that is known. Its comments are
 * told by nothing then: a look at them would fail.
 */
export function useIsGone(): boolean | undefined {
  const { mission, asOf } = useMission();
  const { data, error } = useLive(timelineModel(mission.id));
  if (asOf === undefined || error !== null) return false;
  return data?.state.happenings.some(({ type }) => type === "mission.deleted.v1");
}

/** Returns the properties that were changed after the moment that is shown; none of them now. */
export function useChangedSince(): ReadonlySet<string> {
  const { mission, asOf } = useMission();
  const until = useUntil();
  const happenings = useLive(timelineModel(mission.id), asOf !== undefined).data?.state.happenings;
  return useMemo(
    () => changedBy((happenings ?? []).filter((one) => !until(one))),
    [happenings, until],
  );
}
