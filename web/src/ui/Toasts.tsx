import { X } from "lucide-react";
import { cn } from "@/lib/text";
import { dismiss, useAnnouncements } from "./announce";
import { IconButton } from "./Button";

/** The toasts of the moment, and the live region for what is only spoken. */
export function Toasts() {
  const { toasts, spoken } = useAnnouncements();
  return (
    <>
      <div aria-live="polite" className="sr-only">
        {spoken}
      </div>
      <div
        role="status"
        className="pointer-events-none fixed inset-x-4 bottom-4 z-50 flex flex-col items-center gap-2 in-[body:has([data-bottom-bar])]:bottom-28 sm:items-end"
      >
        {toasts.map((toast) => (
          <div
            key={toast.id}
            className={cn(
              "pointer-events-auto flex max-w-sm items-center gap-3 rounded-lg border bg-overlay py-1.5 pr-1.5 pl-4 shadow-overlay animate-enter",
              toast.tone === "bad" ? "border-bad" : "border-line",
            )}
          >
            <p className="min-w-0 py-1 wrap-anywhere">{toast.text}</p>
            {toast.action && (
              <button
                type="button"
                className="font-medium text-accent"
                onClick={() => {
                  toast.action?.run();
                  dismiss(toast.id);
                }}
              >
                {toast.action.label}
              </button>
            )}
            <IconButton label="Dismiss" onClick={() => dismiss(toast.id)}>
              <X size={14} aria-hidden />
            </IconButton>
          </div>
        ))}
      </div>
    </>
  );
}
