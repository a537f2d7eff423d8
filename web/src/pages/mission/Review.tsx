import { Check, CircleCheck, Undo2 } from "lucide-react";
import { useState } from "react";
import { Button } from "@/ui/Button";
import { useOpenedBy } from "@/ui/focus";
import { Markdown } from "@/ui/Markdown";
import { Avatar } from "@/ui/marks";
import { approve, reject } from "./commands";
import { useMission } from "./context";
import { ReasonField } from "./ReasonField";

/** What was handed in, and what its reviewer decides; once it is done, the result. */
export function Review() {
  const { mission, me, mayEdit, nameOf } = useMission();
  const [isRejecting, setIsRejecting] = useState(false);
  const button = useOpenedBy<HTMLButtonElement>(isRejecting);
  if (mission.summary === null && mission.stage !== "review") return null;
  const isOpen = mission.stage === "review";
  const own = [mission.submitted_by, mission.holder, ...mission.assignees];
  const isOwn = me !== undefined && own.includes(me.id);
  return (
    <section
      aria-label={isOpen ? "Review" : "Result"}
      className="flex flex-col gap-2.5 rounded-md border border-line bg-raised px-3 py-2.5"
    >
      <div className="flex items-center gap-2">
        {mission.submitted_by !== null ? (
          <Avatar who={nameOf(mission.submitted_by)} />
        ) : (
          <CircleCheck size={15} aria-hidden className="text-stage-review" />
        )}
        <h3 className="min-w-0 truncate">
          {mission.submitted_by === null ? (
            <span className="text-ink-2">Waits for a review</span>
          ) : (
            <>
              <span className="font-medium">{nameOf(mission.submitted_by).name}</span>{" "}
              <span className="text-ink-2">{isOpen ? "asks for a review" : "handed this in"}</span>
            </>
          )}
        </h3>
      </div>
      {mission.summary !== null && <Markdown text={mission.summary} />}
      {isOpen && mayEdit && isOwn && (
        <p className="text-sm text-ink-3">It is your own work: somebody else has to review it.</p>
      )}
      {isOpen && mayEdit && !isOwn && !isRejecting && (
        <div className="flex gap-2">
          <Button kind="primary" onClick={() => void approve(mission)}>
            <Check size={14} aria-hidden />
            Approve
          </Button>
          <Button ref={button} onClick={() => setIsRejecting(true)}>
            <Undo2 size={14} aria-hidden />
            Send back…
          </Button>
        </div>
      )}
      {isOpen && isRejecting && (
        <ReasonField
          label="What is missing?"
          action="Send back"
          onCancel={() => setIsRejecting(false)}
          onReason={async (reason) => {
            if (await reject(mission, reason)) setIsRejecting(false);
          }}
        />
      )}
    </section>
  );
}
