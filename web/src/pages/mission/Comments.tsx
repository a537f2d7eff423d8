import { useLocation } from "@tanstack/react-router";
import { CornerDownRight, Link2, Pencil, Trash2 } from "lucide-react";
import { type Ref, useEffect, useMemo, useRef, useState } from "react";
import { draftOf } from "@/lib/drafts";
import { cn } from "@/lib/text";
import { useLive } from "@/live/query";
import { type Comment, type Thread, threadsOf } from "@/models/comments";
import { useShortcuts } from "@/shell/shortcuts";
import { Ago } from "@/ui/Ago";
import { IconButton } from "@/ui/Button";
import { Confirm } from "@/ui/Confirm";
import { copyLink } from "@/ui/copy";
import { useOpenedBy } from "@/ui/focus";
import { Markdown } from "@/ui/Markdown";
import { Avatar } from "@/ui/marks";
import { Failure, Skeleton } from "@/ui/states";
import { Composer } from "./Composer";
import { comment, editComment, removeComment } from "./commands";
import { useDraftName, useMission } from "./context";
import { namesOf } from "./mentions";
import { commentsModel } from "./model";
import { useIsGone } from "./moment";

/** What was said about the mission, or why that is not known. */
export function Comments() {
  const isGone = useIsGone();
  if (isGone === undefined) return <Skeleton className="mt-4 h-16" />;
  if (!isGone) return <Said />;
  return (
    <p className="py-4 text-ink-2">
      Comments are shown as they are now, and this mission is not there any more. Its history tells
      who commented, and when.
    </p>
  );
}

/** What was said about the mission, in threads, and a field to say more. */
function Said() {
  const { mission, mayComment, asOfTime } = useMission();
  const { data, error, refetch } = useLive(commentsModel(mission.id));
  const field = useRef<HTMLTextAreaElement>(null);
  const draft = useDraftName("comment");
  const threads = useMemo(() => {
    const all = data?.state ?? [];
    // Of the past there are the times only: what was said later is left out, not what was edited.
    return threadsOf(
      asOfTime === undefined ? all : all.filter(({ created_at }) => created_at <= asOfTime),
    );
  }, [data, asOfTime]);
  useShortcuts(
    mayComment
      ? [{ keys: "c", label: "Comment", group: "Mission", run: () => field.current?.focus() }]
      : [],
  );
  useTarget(threads.length > 0);
  if (error !== null && data === undefined) return <Failure error={error} retry={refetch} />;
  if (data === undefined) return <Skeleton className="mt-4 h-16" />;
  return (
    <div className="flex flex-col gap-5 py-4">
      {threads.length === 0 && <p className="text-ink-3">Nothing has been said yet.</p>}
      {threads.map((thread) => (
        <ThreadView key={thread.first.id} thread={thread} />
      ))}
      {mayComment && (
        <Composer
          ref={field}
          label="Write a comment"
          action="Comment"
          draft={draft}
          onSend={(text, mentions) => comment(mission.id, text, mentions, null)}
        />
      )}
    </div>
  );
}

/** Shows the comment that the address names, once it is there. */
function useTarget(isThere: boolean): void {
  const hash = useLocation({ select: ({ hash }) => hash });
  useEffect(() => {
    if (!isThere || !hash.startsWith("comment-")) return;
    document.getElementById(hash)?.scrollIntoView({ block: "center" });
  }, [isThere, hash]);
}

/** A field that opens when it is asked for, and then has the focus; or is open, as something was being written. */
function useField(kind: string) {
  const draft = useDraftName(kind);
  const [opened, setOpened] = useState<"asked" | "kept" | null>(() =>
    draftOf(draft) === undefined ? null : "kept",
  );
  return {
    draft,
    button: useOpenedBy<HTMLButtonElement>(opened !== null),
    isOpen: opened !== null,
    autoFocus: opened === "asked",
    open: () => setOpened("asked"),
    close: () => setOpened(null),
  };
}

function ThreadView({ thread: { first, replies } }: { thread: Thread }) {
  const { mission, mayComment } = useMission();
  const { isOpen, open, close, button: _, ...field } = useField(`reply ${first.id}`);
  const isReplying = isOpen && mayComment;
  const onReply = mayComment ? open : undefined;
  return (
    <article className="flex flex-col gap-3">
      <One comment={first} onReply={onReply} />
      {(replies.length > 0 || isReplying) && (
        <div className="ml-2.5 flex flex-col gap-3 border-l border-line pl-4.5">
          {replies.map((reply) => (
            <One key={reply.id} comment={reply} onReply={onReply} />
          ))}
          {isReplying && (
            <Composer
              {...field}
              label="Reply"
              action="Reply"
              onCancel={close}
              onSend={(text, mentions) => comment(mission.id, text, mentions, first.id)}
              onSent={close}
            />
          )}
        </div>
      )}
    </article>
  );
}

function One({ comment: one, onReply }: { comment: Comment; onReply: (() => void) | undefined }) {
  const { me, nameOf, mayComment } = useMission();
  const { isOpen, open, close, button, ...field } = useField(`edit ${one.id}`);
  const [isAsking, setAsking] = useState(false);
  const author = nameOf(one.author_id);
  const names = useMemo(
    () => one.mentions.flatMap((id) => namesOf(nameOf(id).name)),
    [one.mentions, nameOf],
  );
  const isMine = mayComment && me?.id === one.author_id;
  const mayRemove = isMine || (mayComment && me?.permissions.includes("admin_access") === true);
  const isTarget = useLocation({ select: ({ hash }) => hash === `comment-${one.id}` });
  if (isOpen && isMine) {
    return (
      <Composer
        {...field}
        label="Edit the comment"
        action="Save"
        initial={one.body ?? ""}
        onCancel={close}
        onSend={(text, mentions) => editComment(one, text, mentions)}
        onSent={close}
      />
    );
  }
  return (
    <div
      id={`comment-${one.id}`}
      className={cn(
        "group relative -mx-2 flex gap-2.5 rounded-md px-2 py-1",
        isTarget && "ring-1 ring-accent",
      )}
    >
      <Avatar who={author} />
      <div className="min-w-0 flex-1">
        <p className="flex flex-wrap items-baseline gap-x-2 pointer-coarse:pr-28">
          <span className="font-medium">{author.name}</span>
          <a href={`#comment-${one.id}`} className="text-sm text-ink-3 hover:underline">
            <Ago time={one.created_at} />
          </a>
          {one.edited && !one.removed && <span className="text-sm text-ink-3">edited</span>}
        </p>
        {one.body === null ? (
          <p className="text-ink-3 italic">{one.removed ? "Removed" : "No longer there"}</p>
        ) : (
          <Markdown text={one.body} names={names} className="mt-0.5" />
        )}
      </div>
      {!one.removed && (
        <div className="absolute -top-2 right-1 flex rounded-md border border-line bg-raised opacity-0 shadow-card group-focus-within:opacity-100 group-hover:opacity-100 pointer-coarse:top-0 pointer-coarse:right-0 pointer-coarse:border-transparent pointer-coarse:bg-transparent pointer-coarse:opacity-100 pointer-coarse:shadow-none">
          {onReply !== undefined && <Tool label="Reply" onClick={onReply} icon={CornerDownRight} />}
          <Tool label="Copy a link" onClick={() => void copy(one)} icon={Link2} />
          {isMine && <Tool ref={button} label="Edit" onClick={open} icon={Pencil} />}
          {mayRemove && <Tool label="Remove" onClick={() => setAsking(true)} icon={Trash2} />}
        </div>
      )}
      {isAsking && (
        <Confirm
          title="Remove this comment?"
          verb="Remove"
          run={() => removeComment(one.id)}
          onClose={() => setAsking(false)}
        >
          Its words are gone for everybody, and can’t be brought back. Replies to it stay.
        </Confirm>
      )}
    </div>
  );
}

function Tool({
  ref,
  label,
  onClick,
  icon: Icon,
}: {
  ref?: Ref<HTMLButtonElement>;
  label: string;
  onClick: () => void;
  icon: typeof Link2;
}) {
  return (
    <IconButton {...(ref && { ref })} label={label} onClick={onClick} className="size-7">
      <Icon size={13} aria-hidden />
    </IconButton>
  );
}

function copy(one: Comment): Promise<void> {
  return copyLink(`${window.location.origin}/missions/${one.mission_id}#comment-${one.id}`);
}
