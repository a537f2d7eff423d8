import { toast } from "./announce";

/** Copies a text; false where the browser refuses it, or has no clipboard on a page that came without TLS. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** Copies an address and says so; where it can't be copied it is shown, so that it can be by hand. */
export async function copyLink(href: string): Promise<void> {
  if (await copy(href)) toast("Link copied");
  else toast(`The link could not be copied. It is ${href}`, "bad");
}
