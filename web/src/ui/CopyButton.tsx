import { Check, Copy } from "lucide-react";
import { useState } from "react";
import { announce, toast } from "./announce";
import { Button } from "./Button";
import { copy } from "./copy";

const SAID_MS = 2_000;

/** Copies a text, and says so for a moment. */
export function CopyButton({
  text,
  label,
  onCopied,
  ...rest
}: {
  text: string;
  /** What is copied: "key", "curl snippet". */
  label: string;
  onCopied?: () => void;
  autoFocus?: boolean;
  className?: string;
}) {
  const [isCopied, setIsCopied] = useState(false);
  const press = async () => {
    if (!(await copy(text))) {
      toast(`The ${label} could not be copied: select it and copy it by hand.`, "bad");
      return;
    }
    setIsCopied(true);
    announce(`Copied the ${label}`);
    onCopied?.();
    setTimeout(() => setIsCopied(false), SAID_MS);
  };
  const Icon = isCopied ? Check : Copy;
  return (
    <Button onClick={press} aria-label={`Copy the ${label}`} {...rest}>
      <Icon size={14} aria-hidden />
      {isCopied ? "Copied" : "Copy"}
    </Button>
  );
}
