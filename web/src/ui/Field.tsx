import { cloneElement, type ReactElement, useId } from "react";

/** How every text field looks. */
export const INPUT =
  "h-9 w-full rounded-md border border-line-strong bg-raised px-3 text-base text-ink placeholder:text-ink-3 aria-invalid:border-bad";

/** What the API takes of a short name: of a person, a column, a key. */
export const SHORT_CHARS_MAX = 60;

/** A field with its label, a hint, and what is wrong with what was put in. */
export function Field({
  label,
  hint,
  error,
  children,
}: {
  label: string;
  hint?: string;
  error?: string | undefined;
  children: ReactElement<{
    id?: string;
    "aria-invalid"?: boolean;
    "aria-describedby"?: string | undefined;
  }>;
}) {
  const id = useId();
  const note = error ?? hint;
  return (
    <div className="flex flex-col gap-1.5">
      <label htmlFor={id} className="font-medium">
        {label}
      </label>
      {cloneElement(children, {
        id,
        "aria-invalid": error !== undefined,
        "aria-describedby": note === undefined ? undefined : `${id}-note`,
      })}
      {note !== undefined && (
        <p
          id={`${id}-note`}
          className={error === undefined ? "text-sm text-ink-3" : "text-sm text-bad"}
        >
          {note}
        </p>
      )}
    </div>
  );
}
