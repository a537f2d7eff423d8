import { cn } from "@/lib/text";
import { absolute } from "@/lib/time";
import type { Conflict } from "@/models/merge";
import { Button } from "@/ui/Button";
import { Dialog } from "@/ui/Dialog";
import { type Clash, useClash } from "./commands";

const LABELS: Record<string, string> = {
  title: "Title",
  description: "Description",
  priority: "Priority",
  due: "Due",
};

/** Asks which of two texts is kept, where somebody else changed what was edited here. */
export default function MergeDialog({ clash }: { clash: Clash }) {
  const { conflicts, kept, decide } = clash;
  const keep = (field: string, value: unknown) =>
    useClash.setState({ clash: { ...clash, kept: { ...kept, [field]: value } } });
  return (
    // Whoever only leaves has decided nothing: what they wrote is in its field as before.
    <Dialog open onClose={() => decide("write")} title="Somebody else changed this, too" wide>
      <p className="mb-4 text-ink-2">
        Nothing is lost yet: choose what stays, or write it together from both.
      </p>
      {conflicts.map((conflict) => {
        const { field, theirs: other, mine } = conflict;
        const value = kept[field];
        return (
          <fieldset key={field} className="mb-5 flex flex-col gap-2">
            <legend className="mb-2 font-medium">{LABELS[field] ?? field}</legend>
            <div className="grid gap-2 sm:grid-cols-2">
              {(
                [
                  ["Theirs", other],
                  ["Yours", mine],
                ] as const
              ).map(([name, version]) => (
                <label
                  key={name}
                  className={cn(
                    "flex cursor-pointer items-start gap-2 rounded-md border p-2.5",
                    value === version ? "border-accent bg-accent-soft" : "border-line",
                  )}
                >
                  <input
                    type="radio"
                    name={field}
                    checked={value === version}
                    onChange={() => keep(field, version)}
                    className="mt-1 accent-accent"
                  />
                  <span className="min-w-0">
                    <span className="block text-sm text-ink-3">{name}</span>
                    <span className="block max-h-40 overflow-y-auto wrap-anywhere whitespace-pre-wrap">
                      {words(version)}
                    </span>
                  </span>
                </label>
              ))}
            </div>
            {isText(conflict) && (
              <textarea
                aria-label={`${LABELS[field]} that is kept`}
                value={String(value)}
                onChange={(event) => keep(field, event.target.value)}
                className="field-sizing-content max-h-60 min-h-9 resize-none rounded-md border border-line-strong bg-raised px-3 py-2"
              />
            )}
          </fieldset>
        );
      })}
      <div className="flex justify-end gap-2">
        <Button kind="quiet" onClick={() => decide("discard")}>
          Discard mine
        </Button>
        {/* Where there is no text to begin at, or ✕ had the focus, and Enter would go away. */}
        <Button autoFocus={!conflicts.some(isText)} kind="primary" onClick={() => decide("save")}>
          Save
        </Button>
      </div>
    </Dialog>
  );
}

function isText({ field, mine }: Conflict): boolean {
  return typeof mine === "string" && (field === "title" || field === "description");
}

function words(value: unknown): string {
  if (value === null || value === "") return "None";
  const text = String(value);
  return /^\d{4}-\d\d-\d\dT/.test(text) ? absolute(text) : text;
}
