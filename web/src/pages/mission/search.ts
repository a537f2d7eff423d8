/** What of a mission's page is in its address: the moment that is shown; absent is now. */
export type MissionSearch = { asOf?: string };

export function missionSearch(raw: Record<string, unknown>): MissionSearch {
  return typeof raw.asOf === "string" || typeof raw.asOf === "number"
    ? { asOf: String(raw.asOf) }
    : {};
}
