import { X } from "lucide-react";
import { Dialog as Radix } from "radix-ui";
import type { ReactNode } from "react";
import { cn } from "@/lib/text";
import { IconButton } from "./Button";

/**
 * A modal dialog. The backdrop is our own: Radix's injects a style element, which the content security
 * policy forbids.
 */
export function Dialog({
  open,
  onClose,
  title,
  wide = false,
  children,
}: {
  open: boolean;
  onClose: () => void;
  title: string;
  wide?: boolean;
  children: ReactNode;
}) {
  return (
    <Radix.Root open={open} onOpenChange={(now) => now || onClose()}>
      <Radix.Portal>
        <div className="fixed inset-0 z-40 bg-scrim animate-enter" aria-hidden />
        <Radix.Content
          aria-describedby={undefined}
          className={cn(
            "fixed inset-x-4 top-[12vh] z-50 mx-auto max-h-[76vh] overflow-y-auto rounded-lg border border-line bg-overlay shadow-overlay animate-enter",
            wide ? "max-w-3xl" : "max-w-md",
          )}
        >
          <header className="sticky top-0 flex items-center justify-between bg-overlay px-5 pt-4 pb-2">
            <Radix.Title className="text-lg font-semibold">{title}</Radix.Title>
            <IconButton label="Close" onClick={onClose} className="-mr-2">
              <X size={16} aria-hidden />
            </IconButton>
          </header>
          <div className="px-5 pb-5">{children}</div>
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}
