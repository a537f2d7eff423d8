import { later } from "@/lib/later";

/** Menus, lists and dialogs: one file, as one seldom comes without another, after the page. */
export const radix = later(() => import("./RadixParts"));
