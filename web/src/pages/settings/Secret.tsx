import { Check, Copy } from "lucide-react";
import { useState } from "react";
import { Button } from "@/ui/Button";
import { Dialog } from "@/ui/Dialog";
import { INPUT } from "@/ui/Field";

/** A secret that is shown this once; it is gone when the dialog closes. */
export function SecretDialog({
  title,
  secret,
  children,
  onClose,
}: {
  title: string;
  secret: string;
  children: string;
  onClose: () => void;
}) {
  const [isCopied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(secret);
    setCopied(true);
  };
  return (
    <Dialog open onClose={onClose} title={title}>
      <p className="mb-3 text-ink-2">{children}</p>
      <div className="flex gap-2">
        <input
          readOnly
          aria-label="Secret"
          value={secret}
          onFocus={(event) => event.target.select()}
          className={`${INPUT} font-mono`}
        />
        <Button autoFocus className="h-9" onClick={copy}>
          {isCopied ? <Check size={14} aria-hidden /> : <Copy size={14} aria-hidden />}
          {isCopied ? "Copied" : "Copy"}
        </Button>
      </div>
      <p className="mt-3 text-sm text-warn">It is not shown again. Nobody can look it up later.</p>
      <Button kind="primary" className="mt-4" onClick={onClose}>
        I have kept it
      </Button>
    </Dialog>
  );
}
