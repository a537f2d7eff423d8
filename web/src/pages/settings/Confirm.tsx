import { useState } from "react";
import { problemOf } from "@/api/problem";
import { Button } from "@/ui/Button";
import { Dialog } from "@/ui/Dialog";

/** Asks before something that can't be taken back; stays open, and says why, where it is refused. */
export function Confirm({
  title,
  verb,
  children,
  run,
  onClose,
}: {
  title: string;
  verb: string;
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
      {refusal !== null && <Refusal>{refusal}</Refusal>}
      <div className="mt-5 flex justify-end gap-2">
        <Button onClick={onClose}>Keep it</Button>
        <Button kind="danger" disabled={isBusy} onClick={go}>
          {verb}
        </Button>
      </div>
    </Dialog>
  );
}

/** Why something was refused, in the server's words. */
export function Refusal({ children }: { children: string }) {
  return (
    <p
      role="alert"
      className="mt-3 rounded-md bg-bad-soft px-3 py-2 text-bad first-letter:uppercase"
    >
      {children}
    </p>
  );
}
