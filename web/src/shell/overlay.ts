import { create } from "zustand";

type Overlay = {
  open: "none" | "palette" | "shortcuts" | "nav";
  /** What was typed for the palette before its script was there, and whether Enter was. */
  typed: string;
  isEntered: boolean;
};

const NOTHING_TYPED = { typed: "", isEntered: false };

/** What is open over the page. */
export const useOverlay = create<Overlay>(() => ({ open: "none", ...NOTHING_TYPED }));

export const openOverlay = (open: "palette" | "shortcuts" | "nav") =>
  // Who asks again for what is open goes on with what they have typed.
  useOverlay.setState((now) => (now.open === open ? now : { open, ...NOTHING_TYPED }));
export const closeOverlay = () => useOverlay.setState({ open: "none", ...NOTHING_TYPED });
