import { create } from "zustand";

/** What is open over the page. */
export const useOverlay = create<{ open: "none" | "palette" | "shortcuts" | "nav" }>(() => ({
  open: "none",
}));

export const openOverlay = (open: "palette" | "shortcuts" | "nav") => useOverlay.setState({ open });
export const closeOverlay = () => useOverlay.setState({ open: "none" });
