/** Returns an event's type as words: "mission.lease_expired.v1" is "mission lease expired". */
export function eventWords(type: string): string {
  return type.replace(/\.v\d+$/, "").replaceAll(/[._]/g, " ");
}
