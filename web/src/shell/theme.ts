import { create } from "zustand";

export type Theme = "system" | "light" | "dark";
const STORED = "mc-theme";

/** The theme that was chosen on this device. */
export const useTheme = create<{ theme: Theme }>(() => ({
  theme: (localStorage.getItem(STORED) as Theme | null) ?? "system",
}));

/** Chooses a theme, here and now. */
export function setTheme(theme: Theme): void {
  localStorage.setItem(STORED, theme);
  useTheme.setState({ theme });
  paint(theme);
}

/** Puts a theme on the page; the tokens do the rest. */
export function paint(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}
