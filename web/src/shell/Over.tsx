import { type KeyboardEvent, useEffect } from "react";
import { isComposing } from "@/lib/keys";
import { later } from "@/lib/later";
import { toast } from "@/ui/announce";
import { DialogToCome } from "@/ui/DialogToCome";
import { closeOverlay, useOverlay } from "./overlay";

type Props = { open: "palette" | "shortcuts" };

const script = later(
  () => import("./Overlays"),
  () => {
    if (useOverlay.getState().open === "none") return;
    closeOverlay();
    toast("This page is older than the server: load it again.", "bad");
  },
);
export const loadOverlays = script.load;
const Overlays = script.part((module) => module.Overlays, ToCome);

/** What is open over a page. Its script comes a while after the page; nothing that is typed until then is lost. */
export function Over({ open }: Props) {
  useEffect(script.load, []);
  return <Overlays open={open} />;
}

const takeFocus = (field: HTMLInputElement | null) => field?.focus();

function ToCome({ open }: Props) {
  const { typed, isEntered } = useOverlay();
  if (open === "shortcuts")
    return <DialogToCome title="Keyboard shortcuts" onClose={closeOverlay} />;
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter" && !isComposing(event)) useOverlay.setState({ isEntered: true });
  };
  return (
    <DialogToCome title="Search and commands" onClose={closeOverlay}>
      <input
        ref={takeFocus}
        aria-label="Search, or what to do"
        autoComplete="off"
        maxLength={500}
        readOnly={isEntered}
        value={typed}
        onChange={({ target }) => useOverlay.setState({ typed: target.value })}
        onKeyDown={onKeyDown}
      />
    </DialogToCome>
  );
}
