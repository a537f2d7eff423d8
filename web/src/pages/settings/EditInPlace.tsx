import { useEffect, useRef, useState } from "react";
import { isComposing } from "@/lib/keys";
import { cn } from "@/lib/text";

/**
 * A text that is changed where it stands: Enter or leaving it saves, Escape takes it back, and both stay in it.
 * What is refused goes back to what it was; `save` says why.
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
  // What was saved by Enter is not saved again as the field is left.
  const saved = useRef(value);
  const typed = useRef(text);
  typed.current = text;
  // It was changed elsewhere: what somebody has typed here stays, and nothing else.
  useEffect(() => {
    const isUntouched = typed.current === saved.current;
    saved.current = value;
    if (isUntouched || document.activeElement !== field.current) setText(value);
  }, [value]);
  const commit = async () => {
    const wanted = text.trim();
    if (wanted === saved.current || (wanted === "" && !isOptional)) {
      setText(saved.current);
      return;
    }
    saved.current = wanted;
    try {
      await save(wanted);
    } catch {
      saved.current = value;
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
        if (isComposing(event)) return;
        if (event.key === "Enter") void commit();
        if (event.key === "Escape") setText(saved.current);
      }}
      className={cn(
        "transition-quick h-8 rounded-md border border-transparent bg-transparent px-2 text-base placeholder:text-ink-3 hover:border-line-strong focus:border-line-strong focus:bg-raised",
        className,
      )}
      {...rest}
    />
  );
}
