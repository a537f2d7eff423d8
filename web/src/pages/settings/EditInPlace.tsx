import { useEffect, useRef, useState } from "react";
import { cn } from "@/lib/text";

/**
 * A text that is changed where it stands: Enter or leaving it saves, Escape takes it back. What is refused
 * goes back to what it was; `save` says why.
 */
export function EditInPlace({
  label,
  value,
  save,
  isOptional = false,
  className,
  ...rest
}: {
  label: string;
  value: string;
  save: (value: string) => Promise<unknown>;
  isOptional?: boolean;
  className?: string;
  placeholder?: string;
  maxLength?: number;
  inputMode?: "numeric";
}) {
  const [text, setText] = useState(value);
  const field = useRef<HTMLInputElement>(null);
  // It was changed elsewhere, and nobody is just typing here.
  useEffect(() => {
    if (document.activeElement !== field.current) setText(value);
  }, [value]);
  const commit = async () => {
    const wanted = text.trim();
    if (wanted === value || (wanted === "" && !isOptional)) {
      setText(value);
      return;
    }
    try {
      await save(wanted);
    } catch {
      setText(value);
    }
  };
  return (
    <input
      ref={field}
      aria-label={label}
      autoComplete="off"
      value={text}
      onChange={(event) => setText(event.target.value)}
      onBlur={commit}
      onKeyDown={(event) => {
        if (event.key === "Enter") event.currentTarget.blur();
        if (event.key !== "Escape") return;
        setText(value);
        requestAnimationFrame(() => field.current?.blur());
      }}
      className={cn(
        "transition-quick h-8 rounded-md border border-transparent bg-transparent px-2 text-base placeholder:text-ink-3 hover:border-line-strong focus:border-line-strong focus:bg-raised",
        className,
      )}
      {...rest}
    />
  );
}
