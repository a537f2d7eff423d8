const WORDS: Record<string, string> = {
  "comment.added.v1": "mentioned you",
  "mission.submitted.v1": "asks for your review",
  "mission.moved.v1": "moved it to review",
  "mission.failed.v1": "gave up",
  "mission.blocked.v1": "blocked it",
  "mission.rejected.v1": "sent it back",
  "mission.lease_expired.v1": "noted that the lease expired",
};

/** Says why something is in the inbox, behind its actor's name. */
export function wordsOf(type: string): string {
  return WORDS[type] ?? "changed it";
}
