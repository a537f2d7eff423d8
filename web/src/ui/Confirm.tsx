import { useState } from "react";
import { problemOf } from "@/api/problem";
import { Button } from "@/ui/Button";
import { Dialog } from "@/ui/Dialog";
import { Refusal } from "@/ui/Refusal";

/** Asks before something that can't be taken back; stays open, and says why, where it is refused. */
export function Confirm({
  title,
  verb,
  keep = "Keep it",
  children,
  run,
  onClose,
}: {
  title: string;
  verb: string;
  /** What the button says that changes nothing. */
  keep?: string;
  children: string;
  run: () => Promise<unknown>;
  onClose: () => void;
}) {
  const [refusal, setRefusal] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const go = async () => {
    setBusy(true);
    setRefusal(null);
    try {
      await run();
      onClose();
    } catch (error) {
      setRefusal(problemOf(error).message);
      setBusy(false);
    }
  };
  return (
    <Dialog open onClose={onClose} title={title}>
      <p className="text-ink-2">{children}</p>
      {refusal !== null && <Refusal className="mt-3">{refusal}</Refusal>}
      <div className="mt-5 flex justify-end gap-2">
        <Button onClick={onClose}>{keep}</Button>
        <Button kind="danger" disabled={isBusy} onClick={go}>
          {verb}
        </Button>
      </div>
    </Dialog>
  );
}
