import { Pencil } from "lucide-react";
import { type KeyboardEvent, useRef, useState } from "react";
import { draftOf, dropDraft, keepDraft } from "@/lib/drafts";
import { cn } from "@/lib/text";
import type { Mission } from "@/models/types";
import { useShortcuts } from "@/shell/shortcuts";
import { toast } from "@/ui/announce";
import { Button, IconButton } from "@/ui/Button";
import { useOpenedBy } from "@/ui/focus";
import { Markdown } from "@/ui/Markdown";
import { edit } from "./commands";
import { useDraftName, useMission } from "./context";

const TITLE = "text-xl font-semibold text-ink wrap-anywhere";
const TITLE_CHARS_MAX = 200;
const TEXT_CHARS_MAX = 20_000;

type Written = { base: Mission; text: string };

/** A mission's title; a click, and it is a field. */
export function Title() {
  const { mission, mayEdit } = useMission();
  const [draft, setDraft] = useState<{ base: Mission; text: string } | null>(null);
  const button = useOpenedBy<HTMLButtonElement>(draft !== null);
  if (draft === null) {
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
  const save = async () => {
    const title = draft.text.trim().replaceAll("\n", " ");
    if (title === "" || title === draft.base.title || (await edit(draft.base, { title })))
      setDraft(null);
  };
  return (
    <textarea
      // biome-ignore lint/a11y/noAutofocus: it was asked for just now
      autoFocus
      aria-label="Title"
      rows={1}
      maxLength={TITLE_CHARS_MAX}
      value={draft.text}
      onFocus={(event) => event.target.select()}
      onChange={(event) => setDraft({ ...draft, text: event.target.value })}
      onBlur={() => void save()}
      onKeyDown={(event) => {
        if (event.key === "Escape") setDraft(null);
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
  const [draft, setDraft] = useState<Written | null>(() => (mayEdit ? written(kept) : null));
  const button = useOpenedBy<HTMLButtonElement>(draft !== null);
  const begin = () => setDraft(written(kept) ?? { base: mission, text: mission.description });
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
          if (written(kept) !== null) {
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

/** Returns a description that somebody began to change and did not save. */
function written(name: string | undefined): Written | null {
  const { base, text } = draftOf(name) ?? {};
  return base === undefined || text === undefined || text === base.description
    ? null
    : { base, text };
}

function DescriptionField({
  draft,
  onDraft,
  onEnd,
  onLeave,
}: {
  draft: Written;
  onDraft: (draft: Written) => void;
  /** It was saved, or given up. */
  onEnd: () => void;
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
    if (isSame || (await edit(draft.base, { description: draft.text }))) onEnd();
    saving.current = false;
  };
  const onKeyDown = (event: KeyboardEvent) => {
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
