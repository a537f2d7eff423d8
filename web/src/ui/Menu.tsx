import { Check } from "lucide-react";
import { DropdownMenu } from "radix-ui";
import type { ReactNode } from "react";

/** A menu on a button: `trigger` is the button. Not modal, as a modal one would lock scrolling by a style element. */
export function Menu({
  trigger,
  children,
  align = "start",
}: {
  trigger: ReactNode;
  children: ReactNode;
  align?: "start" | "end";
}) {
  return (
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger asChild>{trigger}</DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content
          align={align}
          sideOffset={4}
          collisionPadding={8}
          className="z-50 max-h-[60vh] min-w-44 overflow-y-auto rounded-lg border border-line bg-overlay p-1 shadow-overlay animate-enter"
        >
          {children}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}

/** One thing to do, or one of several to choose from, of which `checked` is chosen. */
export function MenuItem({
  children,
  onSelect,
  checked,
  disabled = false,
  hint,
}: {
  children: ReactNode;
  onSelect: () => void;
  checked?: boolean;
  disabled?: boolean;
  hint?: ReactNode;
}) {
  const inside = (
    <>
      <span className="flex min-w-0 flex-1 items-center gap-2">{children}</span>
      {hint !== undefined && <span className="text-sm text-ink-3">{hint}</span>}
      {checked !== undefined && (
        <Check size={14} aria-hidden className={checked ? "text-accent" : "opacity-0"} />
      )}
    </>
  );
  const look =
    "flex h-8 w-full cursor-default items-center gap-3 rounded-md px-2 text-base text-ink outline-none data-[disabled]:opacity-50 data-[highlighted]:bg-hover";
  return checked === undefined ? (
    <DropdownMenu.Item className={look} disabled={disabled} onSelect={onSelect}>
      {inside}
    </DropdownMenu.Item>
  ) : (
    <DropdownMenu.CheckboxItem
      className={look}
      checked={checked}
      disabled={disabled}
      onSelect={onSelect}
    >
      {inside}
    </DropdownMenu.CheckboxItem>
  );
}

/** A heading over some items. */
export function MenuLabel({ children }: { children: ReactNode }) {
  return (
    <DropdownMenu.Label className="px-2 pt-2 pb-1 text-sm text-ink-3">
      {children}
    </DropdownMenu.Label>
  );
}

/** A line between items. */
export function MenuSeparator() {
  return <DropdownMenu.Separator className="my-1 h-px bg-line" />;
}
