import { useState } from "react";

/** For a secret that is shown this once: closing its dialog asks first who has not copied it. */
export function useKept(onClose: () => void) {
  const [isCopied, setCopied] = useState(false);
  const [isWarned, setWarned] = useState(false);
  return {
    copied: () => setCopied(true),
    leave: () => (isCopied || isWarned ? onClose() : setWarned(true)),
    isAsking: isWarned && !isCopied,
  };
}

export const unkept = (what: string) =>
  `You have not copied the ${what}, and nobody can show it again. Close anyway?`;
