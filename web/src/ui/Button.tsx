import type { ButtonHTMLAttributes, Ref } from "react";
import { cn } from "@/lib/text";

type Kind = "primary" | "plain" | "quiet" | "danger";
const KINDS: Record<Kind, string> = {
  primary: "bg-accent text-on-accent hover:bg-accent-strong font-medium",
  plain: "border border-line-strong bg-raised text-ink hover:bg-hover",
  quiet: "text-ink-2 hover:bg-hover hover:text-ink",
  danger: "border border-bad text-bad hover:bg-bad-soft",
};

type Props = ButtonHTMLAttributes<HTMLButtonElement> & {
  kind?: Kind;
  ref?: Ref<HTMLButtonElement>;
};

/** A button with a word on it. */
export function Button({ kind = "plain", className, ...rest }: Props) {
  return (
    <button
      type="button"
      className={cn(
        "transition-quick inline-flex h-8 shrink-0 items-center justify-center gap-1.5 rounded-md px-3 text-base whitespace-nowrap disabled:opacity-50",
        KINDS[kind],
        className,
      )}
      {...rest}
    />
  );
}

/** A button with an icon only: `label` is what it does, for those who don't see it and as a hint. */
export function IconButton({ label, className, ...rest }: Props & { label: string }) {
  return (
    <button
      type="button"
      aria-label={label}
      title={label}
      className={cn(
        "transition-quick inline-flex size-8 shrink-0 items-center justify-center rounded-md text-ink-3 hover:bg-hover hover:text-ink disabled:opacity-50",
        className,
      )}
      {...rest}
    />
  );
}
