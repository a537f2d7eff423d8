import { type FormEvent, useState } from "react";
import { isComposing } from "@/lib/keys";
import { Button } from "@/ui/Button";
import { Field } from "@/ui/Field";

const REASON_CHARS_MAX = 2_000;

/** Asks for a reason before something is done. By itself: a library for forms would come with every mission. */
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
  const [text, setText] = useState("");
  const [isMissing, setMissing] = useState(false);
  const [isSending, setSending] = useState(false);
  const reason = text.trim();
  const submit = async () => {
    setMissing(reason === "");
    if (reason === "" || isSending) return;
    setSending(true);
    await onReason(reason);
    setSending(false);
  };
  const onSubmit = (event: FormEvent) => {
    event.preventDefault();
    void submit();
  };
  return (
    <form onSubmit={onSubmit} className="flex flex-col gap-3">
      <Field
        label={label}
        error={isMissing && reason === "" ? "A few words are needed." : undefined}
      >
        <textarea
          // biome-ignore lint/a11y/noAutofocus: it was asked for just now
          autoFocus
          rows={3}
          maxLength={REASON_CHARS_MAX}
          className="w-full resize-none rounded-md border border-line-strong bg-raised px-3 py-2 aria-invalid:border-bad"
          onKeyDown={(event) => {
            if (isComposing(event)) return;
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void submit();
            if (event.key !== "Escape") return;
            event.stopPropagation();
            onCancel();
          }}
          value={text}
          onChange={({ target }) => setText(target.value)}
        />
      </Field>
      <div className="flex gap-2">
        <Button type="submit" kind="primary" disabled={isSending}>
          {action}
        </Button>
        <Button kind="quiet" onClick={onCancel}>
          Cancel
        </Button>
      </div>
    </form>
  );
}
