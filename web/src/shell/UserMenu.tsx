import { useQuery } from "@tanstack/react-query";
import { ChevronsUpDown } from "lucide-react";
import { meQuery } from "@/api/queries";
import { signOut } from "@/api/session";
import { Menu, MenuItem, MenuLabel, MenuSeparator } from "@/ui/Menu";
import { Avatar } from "@/ui/marks";
import { openOverlay } from "./overlay";
import { setTheme, type Theme, useTheme } from "./theme";

const THEMES: [Theme, string][] = [
  ["system", "Like the system"],
  ["light", "Light"],
  ["dark", "Dark"],
];

/** Who is signed in; the theme; the way out. */
export function UserMenu() {
  const { data: me } = useQuery(meQuery);
  const { theme } = useTheme();
  const name = me?.name ?? me?.email ?? "…";
  return (
    <Menu
      trigger={
        <button
          type="button"
          className="transition-quick flex h-9 w-full items-center gap-2 rounded-md px-2 text-left text-ink-2 hover:bg-hover hover:text-ink"
        >
          <Avatar who={{ id: me?.id ?? "", name, kind: "person" }} />
          <span className="min-w-0 flex-1 truncate">{name}</span>
          <ChevronsUpDown size={14} aria-hidden />
        </button>
      }
    >
      <MenuLabel>Theme</MenuLabel>
      {THEMES.map(([value, label]) => (
        <MenuItem key={value} checked={theme === value} onSelect={() => setTheme(value)}>
          {label}
        </MenuItem>
      ))}
      <MenuSeparator />
      <MenuItem onSelect={() => openOverlay("shortcuts")} hint="?">
        Keyboard shortcuts
      </MenuItem>
      <MenuItem onSelect={signOut}>Sign out</MenuItem>
    </Menu>
  );
}
