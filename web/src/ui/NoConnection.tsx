import { useEffect } from "react";
import { useAwaited } from "@/lib/parts";
import { toast } from "./announce";

/** A script that comes sooner is not waited for, to the eye. */
const PATIENCE_MS = 1_000;

/** In place of what was opened, and whose script the server is needed for: says so where it can't be reached. */
export function NoConnection() {
  const isAwaited = useAwaited(({ parts }) => parts > 0);
  useEffect(() => {
    if (!isAwaited) return;
    const timer = setTimeout(
      () => toast("No connection. This opens by itself when the server can be reached again."),
      PATIENCE_MS,
    );
    return () => clearTimeout(timer);
  }, [isAwaited]);
  return null;
}
