import { Check, X } from "lucide-react";
import { DropdownMenu, Popover, Dialog as RadixDialog } from "radix-ui";
import { type ComponentProps, type ReactNode, type Ref, useImperativeHandle } from "react";
import { cn } from "@/lib/text";
import { IconButton } from "./Button";
import { goOnTyping } from "./focus";
import { PickerList } from "./PickerList";
import type { Opener } from "./useOpener";

/** Stands where Radix wants to draw the button that opens: it is on the page already. */
function Standing({ opener, ref }: { opener: Opener; ref?: Ref<Element | null> }) {
  useImperativeHandle<Element | null, Element | null>(ref, () => opener.button.current, [
    opener.button,
  ]);
  return null;
}

/** What a `Menu` opens. Not modal, as a modal one would lock scrolling by a style element. */
export function MenuContent({
  opener,
  align,
  children,
}: {
  opener: Opener;
  align: "start" | "end";
  children: ReactNode;
}) {
  return (
    <DropdownMenu.Root modal={false} open={opener.open} onOpenChange={opener.onOpenChange}>
      <DropdownMenu.Trigger asChild>
        <Standing opener={opener} />
      </DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content
          id={opener.ids.content}
          aria-labelledby={opener.ids.button}
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

export type ListProps = {
  opener: Opener;
  align: "start" | "end";
  /** Of what is typed before there is a list. */
  onTyped: (text: string) => void;
} & ComponentProps<typeof PickerList>;

/** What a `Picker` opens. */
export function PickerContent({ opener, align, onTyped: _, ...list }: ListProps) {
  return (
    <Popover.Root open={opener.open} onOpenChange={opener.onOpenChange}>
      <Popover.Trigger asChild>
        <Standing opener={opener} />
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content
          id={opener.ids.content}
          align={align}
          sideOffset={4}
          collisionPadding={8}
          aria-label={list.label}
          onOpenAutoFocus={goOnTyping}
          className="z-50 w-72 max-w-[calc(100vw-1rem)] rounded-lg border border-line bg-overlay shadow-overlay animate-enter"
        >
          <PickerList {...list} />
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}

/** Lets a dialog begin at its first field, where it has one, and not at the button that closes it. */
function focusOnField(event: Event) {
  const field = (event.currentTarget as HTMLElement).querySelector<HTMLElement>(
    "input:not([type=checkbox], [type=radio]), textarea, select",
  );
  if (field === null) return;
  event.preventDefault();
  field.focus();
}

/**
 * A modal dialog. The backdrop is our own: Radix's injects a style element, which the content security
 * policy forbids.
 */
export function Dialog({
  open,
  onClose,
  title,
  wide = false,
  onCloseAutoFocus,
  children,
}: {
  open: boolean;
  onClose: () => void;
  title: string;
  wide?: boolean;
  onCloseAutoFocus: (event: Event) => void;
  children: ReactNode;
}) {
  return (
    <RadixDialog.Root open={open} onOpenChange={(now) => now || onClose()}>
      <RadixDialog.Portal>
        <div className="fixed inset-0 z-40 bg-scrim animate-enter" aria-hidden />
        <RadixDialog.Content
          aria-describedby={undefined}
          onOpenAutoFocus={focusOnField}
          onCloseAutoFocus={onCloseAutoFocus}
          className={cn(
            "fixed inset-x-4 top-[12vh] z-50 mx-auto max-h-[76vh] max-sm:inset-x-2 max-sm:top-[5vh] max-sm:max-h-[90vh] overflow-y-auto rounded-lg border border-line bg-overlay shadow-overlay animate-enter",
            wide ? "max-w-3xl" : "max-w-md",
          )}
        >
          <header className="sticky top-0 flex items-center justify-between bg-overlay px-5 pt-4 pb-2">
            <RadixDialog.Title className="text-lg font-semibold">{title}</RadixDialog.Title>
            <IconButton label="Close" onClick={onClose} className="-mr-2">
              <X size={16} aria-hidden />
            </IconButton>
          </header>
          <div className="px-5 pb-5">{children}</div>
        </RadixDialog.Content>
      </RadixDialog.Portal>
    </RadixDialog.Root>
  );
}
