import { Kanban, KeyRound, type LucideIcon, User, Users } from "lucide-react";
import type { Permission } from "@/models/types";

export type Section = {
  to: "/settings/profile" | "/settings/members" | "/settings/keys" | "/settings/boards";
  label: string;
  icon: LucideIcon;
  /** Who may use it. */
  needs: Permission;
  /** Who that is, in words. */
  who: string;
  /** What else the palette finds it by. */
  words: string;
};

/** The sections of the settings, each with an address of its own. */
export const SECTIONS: Section[] = [
  {
    to: "/settings/profile",
    label: "Profile",
    icon: User,
    needs: "read",
    who: "Everybody has a profile.",
    words: "name password theme sessions account",
  },
  {
    to: "/settings/members",
    label: "Members",
    icon: Users,
    needs: "admin_access",
    who: "Admins manage members and their roles.",
    words: "people roles invite add users",
  },
  {
    to: "/settings/keys",
    label: "Keys",
    icon: KeyRound,
    needs: "manage_agents",
    who: "Admins and agent operators manage keys.",
    words: "agents tokens secrets api credentials",
  },
  {
    to: "/settings/boards",
    label: "Boards",
    icon: Kanban,
    needs: "create_missions",
    who: "Admins and mission commanders arrange boards.",
    words: "columns wip limits rename",
  },
];

/** Returns the sections that somebody may use. */
export function sections(permissions: readonly Permission[]): Section[] {
  return SECTIONS.filter(({ needs }) => permissions.includes(needs));
}
