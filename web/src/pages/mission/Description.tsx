import { Pencil } from "lucide-react";
import { type KeyboardEvent, useRef, useState } from "react";
import { draftOf, dropDraft, keepDraft } from "@/lib/drafts";
import { isComposing } from "@/lib/keys";
import { cn } from "@/lib/text";
import type { Mission } from "@/models/types";
import { useShortcuts } from "@/shell/shortcuts";
import { toast } from "@/ui/announce";
import { Button, IconButton } from "@/ui/Button";
import { giveBack, useOpenedBy } from "@/ui/focus";
import { Markdown } from "@/ui/Markdown";
import { edit } from "./commands";
import { useDraftName, useMission } from "./context";

const TITLE = "text-xl font-semibold text-ink wrap-anywhere";
const TITLE_CHARS_MAX = 200;
const TEXT_CHARS_MAX = 20_000;

type Written = { base: Mission; text: string };
type FieldProps = {
  draft: Written;
  onDraft: (draft: Written) => void;
  /** It was saved, or given up. */
  onEnd: () => void;
};

/** A mission's title; a click, and it is a field. */
export function Title() {
  const { mission, mayEdit } = useMission();
  const kept = useDraftName("title");
  const [draft, setDraft] = useState(() => (mayEdit ? written(kept, "title") : null));
  const button = useOpenedBy<HTMLButtonElement>(draft !== null);
  if (draft !== null) {
    return (
      <TitleField
        draft={draft}
        onDraft={setDraft}
        onEnd={() => {
          dropDraft(kept);
          setDraft(null);
        }}
      />
    );
  }
  return (
    <h2 className={cn(TITLE, mission.completed && "text-ink-2")}>
      {mayEdit ? (
        <button
          ref={button}
          type="button"
          title="Edit the title"
          onClick={() => setDraft({ base: mission, text: mission.title })}
          className="-mx-1.5 rounded-md px-1.5 text-left hover:bg-hover"
        >
          {mission.title}
        </button>
      ) : (
        mission.title
      )}
    </h2>
  );
}

function TitleField({ draft, onDraft, onEnd }: FieldProps) {
  const kept = useDraftName("title");
  const field = useRef<HTMLTextAreaElement>(null);
  const saving = useRef(false);
  const save = async () => {
    if (saving.current) return;
    const title = draft.text.trim().replaceAll("\n", " ");
    if (title === "" || title === draft.base.title) return onEnd();
    saving.current = true;
    // It is saved as it is left, maybe for another page: what is refused or in question is here afterwards.
    keepDraft(kept, draft);
    const left = await edit(draft.base, { title });
    saving.current = false;
    if (left === null) return onEnd();
    const next = { ...draft, text: left.title ?? title };
    if (next.text !== title) {
      keepDraft(kept, next);
      onDraft(next);
    }
    setTimeout(() => giveBack(field.current ? [field.current] : []));
  };
  return (
    <textarea
      ref={field}
      // biome-ignore lint/a11y/noAutofocus: it was asked for just now
      autoFocus
      aria-label="Title"
      rows={1}
      maxLength={TITLE_CHARS_MAX}
      value={draft.text}
      onFocus={(event) => event.target.select()}
      onChange={(event) => onDraft({ ...draft, text: event.target.value })}
      onBlur={() => void save()}
      onKeyDown={(event) => {
        if (isComposing(event)) return;
        if (event.key === "Escape") onEnd();
        else if (event.key !== "Enter") return;
        else event.currentTarget.blur();
        event.preventDefault();
        event.stopPropagation();
      }}
      className={cn(
        TITLE,
        "-mx-1.5 field-sizing-content resize-none rounded-md bg-raised px-1.5 outline-2 outline-accent",
      )}
    />
  );
}

/** What a mission is about, in Markdown. */
export function Description() {
  const { mission, mayEdit } = useMission();
  const kept = useDraftName("description");
  const [draft, setDraft] = useState(() => (mayEdit ? written(kept, "description") : null));
  const button = useOpenedBy<HTMLButtonElement>(draft !== null);
  const begin = () =>
    setDraft(written(kept, "description") ?? { base: mission, text: mission.description });
  useShortcuts(
    mayEdit ? [{ keys: "e", label: "Edit the description", group: "Mission", run: begin }] : [],
  );
  if (draft !== null) {
    return (
      <DescriptionField
        draft={draft}
        onDraft={(next) => {
          setDraft(next);
          keepDraft(kept, next);
        }}
        onEnd={() => {
          dropDraft(kept);
          setDraft(null);
        }}
        onLeave={() => {
          if (written(kept, "description") !== null) {
            toast("Not saved. What you wrote is kept", "plain", {
              label: "Discard",
              run: () => dropDraft(kept),
            });
          }
          setDraft(null);
        }}
      />
    );
  }
  return (
    <section aria-label="Description" className="group relative text-ink">
      {mission.description.trim() === "" ? (
        mayEdit ? (
          <button
            ref={button}
            type="button"
            onClick={begin}
            className="text-ink-3 hover:text-ink-2"
          >
            Add a description…
          </button>
        ) : (
          <p className="text-ink-3">No description.</p>
        )
      ) : (
        <Markdown
          text={mission.description}
          className={cn("max-w-[72ch] leading-relaxed", mayEdit && "pointer-coarse:pr-9")}
        />
      )}
      {mayEdit && mission.description.trim() !== "" && (
        <IconButton
          ref={button}
          label="Edit the description"
          onClick={begin}
          className="absolute -top-1.5 right-0 bg-canvas opacity-0 group-focus-within:opacity-100 group-hover:opacity-100 pointer-coarse:opacity-100"
        >
          <Pencil size={14} aria-hidden />
        </IconButton>
      )}
    </section>
  );
}

/** Returns what somebody began to change and did not save. */
function written(name: string | undefined, field: "title" | "description"): Written | null {
  const { base, text } = draftOf(name) ?? {};
  return base === undefined || text === undefined || text === base[field] ? null : { base, text };
}

function DescriptionField({
  draft,
  onDraft,
  onEnd,
  onLeave,
}: FieldProps & {
  /** They look elsewhere. */
  onLeave: () => void;
}) {
  const { mission } = useMission();
  const [isPreview, setIsPreview] = useState(false);
  const saving = useRef(false);
  const save = async () => {
    if (saving.current) return;
    saving.current = true;
    const isSame = draft.text === draft.base.description;
    const left = isSame ? null : await edit(draft.base, { description: draft.text });
    saving.current = false;
    if (left === null) return onEnd();
    const text = left.description ?? draft.text;
    // Its base stays what it was: saved again, it is compared with what others wrote again.
    if (text !== draft.text) onDraft({ ...draft, text });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (isComposing(event)) return;
    if (event.key === "Escape") onLeave();
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void save();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const others = mission.description !== draft.base.description;
  return (
    <section aria-label="Description" className="flex flex-col gap-2">
      {isPreview ? (
        <div className="min-h-28 rounded-md border border-line bg-surface px-3 py-2">
          <Markdown text={draft.text} className="max-w-[72ch] leading-relaxed" />
        </div>
      ) : (
        <textarea
          // biome-ignore lint/a11y/noAutofocus: it was asked for just now
          autoFocus
          aria-label="Description in Markdown"
          maxLength={TEXT_CHARS_MAX}
          value={draft.text}
          onChange={(event) => onDraft({ ...draft, text: event.target.value })}
          onKeyDown={onKeyDown}
          className="field-sizing-content max-h-[60vh] min-h-28 resize-none rounded-md border border-line-strong bg-raised px-3 py-2 leading-relaxed"
        />
      )}
      {others && (
        <p className="text-sm text-warn">
          Somebody changed the description meanwhile. You will be asked what to keep.
        </p>
      )}
      <div className="flex items-center gap-2">
        <Button kind="primary" onClick={() => void save()}>
          Save
        </Button>
        <Button kind="quiet" onClick={onEnd}>
          Cancel
        </Button>
        <Button kind="quiet" className="ml-auto" onClick={() => setIsPreview(!isPreview)}>
          {isPreview ? "Write" : "Preview"}
        </Button>
      </div>
    </section>
  );
}
