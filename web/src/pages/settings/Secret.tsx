import { Button } from "@/ui/Button";
import { CopyButton } from "@/ui/CopyButton";
import { Dialog } from "@/ui/Dialog";
import { INPUT } from "@/ui/Field";
import { Refusal } from "@/ui/Refusal";
import { unkept, useKept } from "@/ui/useKept";

/** A secret that is shown this once; it is gone when the dialog closes, which asks who has not copied it. */
export function SecretDialog({
  title,
  what,
  secret,
  children,
  onClose,
}: {
  title: string;
  /** "key", "password". */
  what: string;
  secret: string;
  children: string;
  onClose: () => void;
}) {
  const { copied, leave, isAsking } = useKept(onClose);
  return (
    <Dialog open onClose={leave} title={title}>
      <p className="mb-3 text-ink-2">{children}</p>
      <div className="flex gap-2">
        <input
          readOnly
          aria-label="Secret"
          value={secret}
          onFocus={(event) => event.target.select()}
          onCopy={copied}
          className={`${INPUT} font-mono`}
        />
        <CopyButton autoFocus text={secret} label={what} onCopied={copied} className="h-9" />
      </div>
      <p className="mt-3 text-sm text-warn">It is not shown again. Nobody can look it up later.</p>
      {isAsking && <Refusal className="mt-3">{unkept(what)}</Refusal>}
      <div className="mt-4 flex gap-2">
        <Button kind="primary" onClick={onClose}>
          I have kept it
        </Button>
        {isAsking && <Button onClick={leave}>Close anyway</Button>}
      </div>
    </Dialog>
  );
}
