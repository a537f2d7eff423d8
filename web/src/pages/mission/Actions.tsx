import { Ban, Ellipsis, Link2, Trash2, UserMinus, UserPlus } from "lucide-react";
import { useState } from "react";
import { Button, IconButton } from "@/ui/Button";
import { copyLink } from "@/ui/copy";
import { Dialog } from "@/ui/Dialog";
import { Menu, MenuItem, MenuSeparator } from "@/ui/Menu";
import { assign, block, cancel, unassign, unblock } from "./commands";
import { useMission } from "./context";
import { ReasonField } from "./ReasonField";

/** What can be done with the mission that has no place of its own on the page. */
export function Actions({ onGone }: { onGone: () => void }) {
  const { mission, me, mayEdit } = useMission();
  const [asking, setAsking] = useState<"block" | "cancel" | null>(null);
  const close = () => setAsking(null);
  const isMine = me !== undefined && mission.assignees.includes(me.id);
  const copy = () => void copyLink(`${window.location.origin}/missions/${mission.id}`);
  return (
    <>
      <Menu
        align="end"
        trigger={
          <IconButton label="What to do with this mission">
            <Ellipsis size={16} aria-hidden />
          </IconButton>
        }
      >
        <MenuItem onSelect={copy}>
          <Link2 size={14} aria-hidden />
          Copy a link
        </MenuItem>
        {mayEdit && me !== undefined && (
          <MenuItem
            hint="I"
            onSelect={() => void (isMine ? unassign(mission, me.id) : assign(mission, me.id))}
          >
            {isMine ? <UserMinus size={14} aria-hidden /> : <UserPlus size={14} aria-hidden />}
            {isMine ? "Take me off" : "Assign to me"}
          </MenuItem>
        )}
        {mayEdit && !mission.completed && (
          <MenuItem
            onSelect={() =>
              mission.blocked_reason === null ? setAsking("block") : void unblock(mission)
            }
          >
            <Ban size={14} aria-hidden />
            {mission.blocked_reason === null ? "Block…" : "Unblock"}
          </MenuItem>
        )}
        {mayEdit && (
          <>
            <MenuSeparator />
            <MenuItem onSelect={() => setAsking("cancel")}>
              <Trash2 size={14} aria-hidden className="text-bad" />
              Cancel the mission…
            </MenuItem>
          </>
        )}
      </Menu>
      <Dialog open={asking === "block"} onClose={close} title="Block this mission">
        <ReasonField
          label="What is in its way?"
          action="Block"
          onCancel={close}
          onReason={async (reason) => {
            if (await block(mission, reason)) close();
          }}
        />
      </Dialog>
      <Dialog open={asking === "cancel"} onClose={close} title="Cancel this mission?">
        <p className="mb-4 text-ink-2">
          “{mission.title}” is taken off its board for good
          {mission.holder === null ? "" : ", and the agent that works on it loses its lease"}. Its
          events stay in the log.
        </p>
        <div className="flex justify-end gap-2">
          <Button kind="quiet" onClick={close}>
            Keep it
          </Button>
          <Button
            kind="danger"
            onClick={async () => {
              if (!(await cancel(mission))) return;
              close();
              onGone();
            }}
          >
            Cancel the mission
          </Button>
        </div>
      </Dialog>
    </>
  );
}
