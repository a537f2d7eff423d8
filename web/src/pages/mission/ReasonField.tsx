import { useForm } from "react-hook-form";
import { Button } from "@/ui/Button";
import { Field } from "@/ui/Field";

const REASON_CHARS_MAX = 2_000;

/** Asks for a reason before something is done. */
export function ReasonField({
  label,
  action,
  onReason,
  onCancel,
}: {
  label: string;
  action: string;
  onReason: (reason: string) => Promise<void>;
  onCancel: () => void;
}) {
  const { register, handleSubmit, formState } = useForm<{ reason: string }>();
  const submit = handleSubmit(({ reason }) => onReason(reason.trim()));
  return (
    <form onSubmit={submit} className="flex flex-col gap-3">
      <Field label={label} error={formState.errors.reason?.message}>
        <textarea
          // biome-ignore lint/a11y/noAutofocus: it was asked for just now
          autoFocus
          rows={3}
          maxLength={REASON_CHARS_MAX}
          className="w-full resize-none rounded-md border border-line-strong bg-raised px-3 py-2 aria-invalid:border-bad"
          onKeyDown={(event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void submit();
            if (event.key !== "Escape") return;
            event.stopPropagation();
            onCancel();
          }}
          {...register("reason", {
            validate: (text) => text.trim() !== "" || "A few words are needed.",
          })}
        />
      </Field>
      <div className="flex gap-2">
        <Button type="submit" kind="primary" disabled={formState.isSubmitting}>
          {action}
        </Button>
        <Button kind="quiet" onClick={onCancel}>
          Cancel
        </Button>
      </div>
    </form>
  );
}
