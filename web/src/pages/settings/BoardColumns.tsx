import { Link, useParams } from "@tanstack/react-router";
import { ArrowDown, ArrowUp, ChevronLeft, Plus, Trash2 } from "lucide-react";
import { type KeyboardEvent, useState } from "react";
import { useForm } from "react-hook-form";
import { api, body, type Done } from "@/api/client";
import { problemOf } from "@/api/problem";
import { useMay } from "@/api/queries";
import { repeatable } from "@/api/repeatable";
import { type LiveModel, useLive } from "@/live/query";
import { applyToBoard, type BoardState } from "@/models/board";
import { type BoardSummary, type Column, STAGES, type Stage } from "@/models/types";
import { announce, toast } from "@/ui/announce";
import { Button, IconButton } from "@/ui/Button";
import { Confirm } from "@/ui/Confirm";
import { INPUT, SHORT_CHARS_MAX } from "@/ui/Field";
import { StageMark } from "@/ui/marks";
import { Failure, Loading } from "@/ui/states";
import { useRefreshBoards } from "./Boards";
import { EditInPlace } from "./EditInPlace";
import { Part, Section } from "./Section";

const WIP_MAX = 10_000;
const STAGE_WORDS: Record<Stage, string> = {
  backlog: "Backlog: not decided yet",
  ready: "Ready: agents may claim it",
  active: "Active: somebody has it",
  review: "Review: waits for a yes or no",
  done: "Done: finished",
};

/** A board's columns, live, without its cards. */
function columnsModel(boardId: string): LiveModel<BoardState> {
  return {
    key: ["board-columns", boardId],
    room: `board:${boardId}`,
    fetch: async (signal) => {
      const path = { board_id: boardId };
      const board = await body<BoardSummary & { position: number }>(
        api.GET("/api/boards/{board_id}", { params: { path }, signal }),
      );
      return { state: { ...board, cards: new Map() }, position: board.position };
    },
    apply: (state, events) =>
      applyToBoard(
        state,
        events.filter(({ event }) => event.startsWith("board.")),
      ),
  };
}

/** One board: its columns, their order and limits. */
export default function BoardColumnsSection() {
  const { boardId } = useParams({ from: "/app/settings/boards/$boardId" });
  const may = useMay("create_missions");
  return (
    <Section
      of="/settings/boards"
      about="What columns each board has, in which order, and how much may be in them at a time."
    >
      <Link
        to="/settings/boards"
        className="-mt-2 inline-flex items-center gap-1 self-start text-ink-2 hover:text-ink"
      >
        <ChevronLeft size={14} aria-hidden />
        All boards
      </Link>
      {may && <Columns boardId={boardId} />}
    </Section>
  );
}

function Columns({ boardId }: { boardId: string }) {
  const { data, error, refetch } = useLive(columnsModel(boardId));
  if (error !== null) return <Failure error={error} retry={refetch} />;
  if (data === undefined) return <Loading label="Loading the board" />;
  const { state: board } = data;
  return (
    <>
      <BoardName board={board} />
      <ol
        aria-label={`Columns of ${board.name}`}
        className="rounded-lg border border-line bg-surface"
      >
        {board.columns.map((column, index) => (
          <ColumnRow key={column.id} board={board} column={column} index={index} />
        ))}
      </ol>
      <Part title="Add a column" about="At the end; move it from there.">
        <AddColumn boardId={boardId} />
      </Part>
    </>
  );
}

function BoardName({ board }: { board: BoardState }) {
  const refresh = useRefreshBoards();
  const save = async (name: string) => {
    try {
      const path = { board_id: board.id };
      const done = await body<Done>(
        api.PUT("/api/boards/{board_id}", { params: { path }, body: { name } }),
      );
      await refresh(done.position);
    } catch (error) {
      toast(`“${board.name}” keeps its name: ${problemOf(error).message}.`, "bad");
      throw error;
    }
  };
  return (
    <>
      <h3 className="sr-only">{board.name}</h3>
      <EditInPlace
        label="Name of the board"
        value={board.name}
        maxLength={200}
        className="-mx-2 -my-3 w-full max-w-md !text-lg font-semibold"
        save={save}
      />
    </>
  );
}

function ColumnRow({ board, column, index }: { board: BoardState; column: Column; index: number }) {
  const [isAsking, setAsking] = useState(false);
  const refresh = useRefreshBoards();
  const path = { board_id: board.id, column_id: column.id };
  const change = async (asked: Promise<{ data?: Done }>) => {
    try {
      await refresh((await body<Done>(asked)).position);
    } catch (error) {
      toast(`“${column.name}” stays as it was: ${problemOf(error).message}.`, "bad");
      throw error;
    }
  };
  const moveTo = async (place: number) => {
    const others = board.columns.filter(({ id }) => id !== column.id);
    if (place < 0 || place > others.length) return;
    const before = others[place]?.id ?? null;
    await change(
      api.PUT("/api/boards/{board_id}/columns/{column_id}/move", {
        params: { path },
        body: { before },
      }),
    ).then(
      () => announce(`${column.name} is column ${place + 1} of ${board.columns.length}.`),
      () => {},
    );
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = event.altKey ? { ArrowUp: -1, ArrowDown: 1 }[event.key] : undefined;
    if (step === undefined) return;
    event.preventDefault();
    void moveTo(index + step);
  };
  return (
    <li
      onKeyDown={onKeyDown}
      className="flex min-h-12 items-center gap-2 border-b border-line py-1.5 pr-2 pl-3 last:border-0 max-sm:flex-wrap md:pl-4"
    >
      <span title={STAGE_WORDS[column.stage]}>
        <StageMark stage={column.stage} />
      </span>
      <EditInPlace
        label={`Name of ${column.name}`}
        value={column.name}
        maxLength={SHORT_CHARS_MAX}
        className="min-w-0 flex-1 font-medium"
        save={(name) =>
          change(
            api.PUT("/api/boards/{board_id}/columns/{column_id}", {
              params: { path },
              body: { name },
            }),
          )
        }
      />
      <span className="w-16 shrink-0 text-sm text-ink-3 max-sm:hidden">
        {STAGE_WORDS[column.stage].split(":")[0]}
      </span>
      <span className="flex items-center gap-2 max-sm:order-last max-sm:basis-full max-sm:pl-5">
        <span aria-hidden className="text-sm text-ink-3">
          At most
        </span>
        <EditInPlace
          label={`Limit of ${column.name}`}
          value={column.wip_limit === null ? "" : String(column.wip_limit)}
          placeholder="any"
          inputMode="numeric"
          isOptional
          className="tabular w-16 !border-line text-center"
          save={(text) => {
            const limit = text === "" ? null : Number(text);
            if (limit !== null && !(Number.isInteger(limit) && limit >= 1 && limit <= WIP_MAX)) {
              toast(`A limit is a whole number from 1 to ${WIP_MAX}, or nothing.`, "bad");
              return Promise.reject(new Error("no limit"));
            }
            return change(
              api.PUT("/api/boards/{board_id}/columns/{column_id}/wip-limit", {
                params: { path },
                body: { wip_limit: limit },
              }),
            );
          }}
        />
      </span>
      <span className="flex shrink-0">
        <IconButton
          label={`Move ${column.name} up`}
          disabled={index === 0}
          onClick={() => void moveTo(index - 1)}
        >
          <ArrowUp size={14} aria-hidden />
        </IconButton>
        <IconButton
          label={`Move ${column.name} down`}
          disabled={index === board.columns.length - 1}
          onClick={() => void moveTo(index + 1)}
        >
          <ArrowDown size={14} aria-hidden />
        </IconButton>
        <IconButton label={`Remove ${column.name}`} onClick={() => setAsking(true)}>
          <Trash2 size={14} aria-hidden />
        </IconButton>
      </span>
      {isAsking && (
        <Confirm
          title={`Remove “${column.name}”?`}
          verb="Remove"
          run={async () => {
            const done = await body<Done>(
              api.DELETE("/api/boards/{board_id}/columns/{column_id}", { params: { path } }),
            );
            await refresh(done.position);
          }}
          onClose={() => setAsking(false)}
        >
          Only an empty column can go, and a board keeps one of each stage.
        </Confirm>
      )}
    </li>
  );
}

type NewColumn = { name: string; stage: Stage };

function AddColumn({ boardId }: { boardId: string }) {
  const refresh = useRefreshBoards();
  const { register, handleSubmit, formState, setError, reset } = useForm<NewColumn>({
    defaultValues: { name: "", stage: "ready" },
  });
  const [once] = useState(repeatable);
  const submit = handleSubmit(async (column) => {
    try {
      const params = { path: { board_id: boardId } };
      const done = await once(column, (headers) =>
        body<Done>(api.POST("/api/boards/{board_id}/columns", { params, headers, body: column })),
      );
      reset();
      announce(`${column.name} was added.`);
      await refresh(done.position);
    } catch (error) {
      setError("name", { message: problemOf(error).message });
    }
  });
  const problem = formState.errors.name?.message;
  return (
    <form onSubmit={submit} noValidate autoComplete="off" className="flex flex-wrap gap-2">
      <input
        aria-label="Name of the new column"
        aria-invalid={problem !== undefined}
        aria-describedby={problem === undefined ? undefined : "new-column-problem"}
        placeholder="Name"
        maxLength={SHORT_CHARS_MAX}
        className={`${INPUT} min-w-0 flex-1 basis-36`}
        {...register("name", { required: "A name, please." })}
      />
      <select
        aria-label="Its stage"
        className={`${INPUT} basis-56 max-sm:basis-full sm:w-auto`}
        {...register("stage")}
      >
        {STAGES.map((stage) => (
          <option key={stage} value={stage}>
            {STAGE_WORDS[stage]}
          </option>
        ))}
      </select>
      <Button type="submit" className="h-9" disabled={formState.isSubmitting}>
        <Plus size={14} aria-hidden />
        Add
      </Button>
      {problem !== undefined && (
        <p id="new-column-problem" role="alert" className="basis-full text-sm text-bad">
          {problem}
        </p>
      )}
    </form>
  );
}
