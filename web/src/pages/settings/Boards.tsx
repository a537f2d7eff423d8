import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { ChevronRight, Plus } from "lucide-react";
import { useState } from "react";
import { useForm } from "react-hook-form";
import { api, body, type Done } from "@/api/client";
import { problemOf } from "@/api/problem";
import { boardsQuery, useMay } from "@/api/queries";
import { repeatable } from "@/api/repeatable";
import { Button } from "@/ui/Button";
import { Dialog } from "@/ui/Dialog";
import { Field, INPUT } from "@/ui/Field";
import { StageMark, Tag } from "@/ui/marks";
import { Failure, Loading } from "@/ui/states";
import { Section } from "./Section";

/** The boards of the workspace; each opens to its columns. */
export default function BoardsSection() {
  const may = useMay("create_missions");
  const [isAdding, setAdding] = useState(false);
  return (
    <Section
      of="/settings/boards"
      about="What columns each board has, in which order, and how much may be in them at a time."
      actions={
        <Button kind="primary" onClick={() => setAdding(true)}>
          <Plus size={14} aria-hidden />
          New board
        </Button>
      }
    >
      {may && <BoardList />}
      {isAdding && <NewBoard onClose={() => setAdding(false)} />}
    </Section>
  );
}

function BoardList() {
  const { data: boards, error, refetch } = useQuery(boardsQuery);
  if (error !== null) return <Failure error={error} retry={refetch} />;
  if (boards === undefined) return <Loading label="Loading boards" />;
  return (
    <ul aria-label="Boards" className="rounded-lg border border-line bg-surface">
      {boards.map((board) => (
        <li key={board.id} className="border-b border-line last:border-0">
          <Link
            to="/settings/boards/$boardId"
            params={{ boardId: board.id }}
            className="transition-quick flex min-h-12 items-center gap-3 px-3 py-2 -outline-offset-2 hover:bg-hover md:px-4"
          >
            <span className="truncate font-medium">{board.name}</span>
            {board.default && <Tag>Home</Tag>}
            <span className="ml-auto flex shrink-0 items-center gap-1 max-sm:hidden">
              {board.columns.map((column) => (
                <StageMark key={column.id} stage={column.stage} />
              ))}
            </span>
            <span className="shrink-0 text-sm text-ink-3 max-sm:ml-auto">
              {board.columns.length} columns
            </span>
            <ChevronRight size={14} aria-hidden className="shrink-0 text-ink-3" />
          </Link>
        </li>
      ))}
    </ul>
  );
}

function NewBoard({ onClose }: { onClose: () => void }) {
  const refresh = useRefreshBoards();
  const navigate = useNavigate();
  const { register, handleSubmit, formState, setError } = useForm({ defaultValues: { name: "" } });
  const [once] = useState(repeatable);
  const submit = handleSubmit(async (board) => {
    try {
      const done = await once(board, (headers) =>
        body<Done>(api.POST("/api/boards", { headers, body: board })),
      );
      await refresh(done.position);
      onClose();
      await navigate({ to: "/settings/boards/$boardId", params: { boardId: done.id } });
    } catch (error) {
      setError("name", { message: problemOf(error).message });
    }
  });
  return (
    <Dialog open onClose={onClose} title="New board">
      <form onSubmit={submit} noValidate autoComplete="off" className="flex flex-col gap-4">
        <Field
          label="Name"
          hint="It starts with the five usual columns."
          error={formState.errors.name?.message}
        >
          <input
            maxLength={200}
            className={INPUT}
            {...register("name", { required: "A name, please." })}
          />
        </Field>
        <Button type="submit" kind="primary" disabled={formState.isSubmitting} className="self-end">
          Create
        </Button>
      </form>
    </Dialog>
  );
}

/** Returns how to read the list of boards again, as it is from a position on. */
export function useRefreshBoards(): (position: number) => Promise<void> {
  const client = useQueryClient();
  return async (position) => {
    await api.GET("/api/boards", { params: { query: { limit: 1, min_position: position } } });
    await client.invalidateQueries(boardsQuery);
  };
}
