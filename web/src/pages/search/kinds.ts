import { Activity, type LucideIcon, MessageSquare, SquareKanban } from "lucide-react";
import type { Kind } from "./address";

export const KIND_ICONS: Record<Kind, LucideIcon> = {
  mission: SquareKanban,
  comment: MessageSquare,
  activity: Activity,
};
export const KIND_NAMES: Record<Kind, string> = {
  mission: "Mission",
  comment: "Comment",
  activity: "Activity",
};
