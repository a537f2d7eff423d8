import {
  Bot,
  ChartLine,
  Inbox,
  Kanban,
  type LucideIcon,
  ScrollText,
  Search,
  Settings,
} from "lucide-react";
import type { ComponentType } from "react";
import { lazily } from "@/lib/parts";
import type { Permission } from "@/models/types";

const InboxBadge = lazily(() => import("@/pages/inbox/Badge"));

export type NavItem = {
  to: "/" | "/inbox" | "/agents" | "/search" | "/analytics" | "/audit" | "/settings";
  label: string;
  icon: LucideIcon;
  /** The second key of `g …`. */
  key: string;
  /** Who sees it. */
  needs: Permission;
  /** What stands behind its name: loaded after the page, as nothing waits for it. */
  badge?: ComponentType;
};

export const NAV: NavItem[] = [
  { to: "/", label: "Board", icon: Kanban, key: "b", needs: "read" },
  { to: "/inbox", label: "Inbox", icon: Inbox, key: "i", needs: "read", badge: InboxBadge },
  { to: "/agents", label: "Agents", icon: Bot, key: "a", needs: "read" },
  { to: "/search", label: "Search", icon: Search, key: "s", needs: "read" },
  { to: "/analytics", label: "Analytics", icon: ChartLine, key: "n", needs: "view_analytics" },
  { to: "/audit", label: "Audit", icon: ScrollText, key: "u", needs: "admin_access" },
  { to: "/settings", label: "Settings", icon: Settings, key: ",", needs: "read" },
];
