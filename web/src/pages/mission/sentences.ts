import type { Happening } from "@/models/timeline";
import type { Column } from "@/models/types";

const FIELD: Record<string, string> = {
  required_capabilities: "what it needs",
  due: "the due date",
};

type Names = { nameOf: (id: string) => { name: string }; columns: readonly Column[] };

/** Says what an event did, behind its actor's name: "moved it to Ready". */
export function sentenceOf(one: Happening, { nameOf, columns }: Names): string {
  const { details, subject_id, actor_id } = one;
  const stage =
    columns.find((column) => column.stage === details.stage)?.name ?? details.stage ?? "";
  const subject =
    subject_id === null ? "" : subject_id === actor_id ? "themselves" : nameOf(subject_id).name;
  switch (one.type.replace(/\.v\d+$/, "")) {
    case "mission.created":
      return "created the mission";
    case "mission.edited":
      return `changed ${listed(details.changed.map((field) => FIELD[field] ?? `the ${field}`)) || "the text"}`;
    case "mission.moved":
      return one.from_board_id === null
        ? `moved it to ${stage}`
        : `moved it here from another board, to ${stage}`;
    case "mission.reranked":
      return "moved it within its column";
    case "mission.assigned":
      return `assigned ${subject}`;
    case "mission.unassigned":
      return subject === "themselves" ? "stepped back" : `took ${subject} off it`;
    case "mission.claimed":
      return "claimed it";
    case "mission.released":
      return "gave it back";
    case "mission.lease_expired":
      return "was not heard of any more: the lease expired";
    case "mission.progressed":
      return `is at ${details.percent ?? 0}%`;
    case "mission.submitted":
      return "handed it in for review";
    case "mission.approved":
      return "approved it";
    case "mission.rejected":
      return "sent it back";
    case "mission.completed":
      return "completed it";
    case "mission.reopened":
      return "opened it again";
    case "mission.failed":
      return "gave up on it";
    case "mission.blocked":
      return "blocked it";
    case "mission.unblocked":
      return "unblocked it";
    case "mission.dependency_added":
      return "let it wait for another mission";
    case "mission.dependency_removed":
      return "took a dependency away";
    case "mission.dependency_met":
      return "noted that a dependency is done";
    case "mission.dependency_unmet":
      return "noted that a dependency is open again";
    case "mission.deleted":
      return "cancelled it";
    case "comment.added":
      return "commented";
    case "comment.edited":
      return "edited a comment";
    case "comment.removed":
      return "removed a comment";
    default:
      return one.type;
  }
}

function listed(words: string[]): string {
  const last = words.at(-1) ?? "";
  return words.length < 2 ? last : `${words.slice(0, -1).join(", ")} and ${last}`;
}
