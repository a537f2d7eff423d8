import { cn } from "@/lib/text";

/** Why something was refused, in words; read out when it appears. */
export function Refusal({ children, className }: { children: string; className?: string }) {
  return (
    <p
      role="alert"
      className={cn("rounded-md bg-bad-soft px-3 py-2 text-bad first-letter:uppercase", className)}
    >
      {children}
    </p>
  );
}
