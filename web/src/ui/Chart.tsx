import { ChartNoAxesCombined, Download, Table2 } from "lucide-react";
import { type ReactNode, Suspense, useState } from "react";
import { csv, download } from "@/lib/csv";
import { figure, type Unit } from "@/lib/figures";
import { lazily } from "@/lib/parts";
import { cn } from "@/lib/text";
import { IconButton } from "./Button";
import { Skeleton } from "./states";

const ChartCanvas = lazily(() => import("./ChartCanvas"));

/** The tokens that series are drawn in. */
const SWATCHES = {
  accent: "bg-accent",
  good: "bg-good",
  warn: "bg-warn",
  bad: "bg-bad",
  "ink-3": "bg-ink-3",
  "stage-backlog": "bg-stage-backlog",
  "stage-ready": "bg-stage-ready",
  "stage-active": "bg-stage-active",
  "stage-review": "bg-stage-review",
  "stage-done": "bg-stage-done",
} as const;
export type ChartColour = keyof typeof SWATCHES;

/** Of lines, where colours are forced, the second on: their dashes and gaps (pixels). */
export const DASHES: readonly (readonly number[])[] = [[], [6, 3], [2, 2], [8, 3, 2, 3]];

export type Series = {
  label: string;
  colour: ChartColour;
  values: readonly (number | null)[];
};

/**
 * What a chart shows. `rows` are bars that lie, one for each label; `area` and `stacked` pile their series
 * up, the first at the bottom.
 */
export type ChartData = {
  kind: "line" | "area" | "bars" | "stacked" | "rows";
  /** What the labels are: the head of the table's first column. */
  over: string;
  labels: readonly string[];
  /** The labels in full, for the table and the file, where an axis has room for less. */
  exact?: readonly string[];
  series: readonly Series[];
  unit: Unit;
};

/** A figure over a chart, for those who want one number. */
export type Headline = { label: string; value: string };

const ROW_PX = 16;
const AXIS_PX = 24;
/** As many bars that lie make a chart higher; where there are more, they scroll. */
const ROWS_MAX = 24;
const CSV_UNITS: Record<Unit, string> = { count: "", duration: " (s)", share: " (share of 1)" };

/** A chart in its frame: the figures that sum it up, its legend, the same as a table, and as a CSV file. */
export function Chart({
  title,
  note,
  headlines = [],
  data,
  className,
}: {
  title: string;
  note?: string;
  headlines?: readonly Headline[];
  /** Absent while it is asked for. */
  data: ChartData | undefined;
  className?: string;
}) {
  const [isTable, setIsTable] = useState(false);
  const isEmpty = data?.series.every(({ values }) => values.every((value) => !value)) ?? false;
  return (
    <section
      aria-label={title}
      className={cn("flex min-w-0 flex-col rounded-lg border border-line bg-surface", className)}
    >
      <header className="flex items-start gap-2 pt-2.5 pr-2 pl-4">
        <div className="min-w-0 flex-1">
          <h2 className="font-medium">{title}</h2>
          {note !== undefined && <p className="text-sm text-ink-3">{note}</p>}
        </div>
        <IconButton
          label={isTable ? `${title} as a chart` : `${title} as a table`}
          aria-pressed={isTable}
          disabled={data === undefined}
          onClick={() => setIsTable(!isTable)}
        >
          {isTable ? (
            <ChartNoAxesCombined size={15} aria-hidden />
          ) : (
            <Table2 size={15} aria-hidden />
          )}
        </IconButton>
        <IconButton
          label={`Download ${title} as CSV`}
          disabled={data === undefined}
          onClick={() => data && download(fileName(title), csv(csvRows(data)))}
        >
          <Download size={15} aria-hidden />
        </IconButton>
      </header>
      <Headlines headlines={headlines} />
      <div className="relative mx-4 mt-2 mb-3 min-h-56 flex-1 4xl:min-h-96">
        {data?.kind === "rows" && (
          <div aria-hidden style={{ height: heightOf(Math.min(data.labels.length, ROWS_MAX)) }} />
        )}
        <div className="absolute inset-0">
          {data === undefined && <Skeleton className="h-full w-full" />}
          {data !== undefined && isTable && <ChartTable title={title} data={data} />}
          {data !== undefined && !isTable && isEmpty && (
            <p className="flex h-full items-center justify-center rounded-md border border-dashed border-line text-ink-3">
              Nothing in this range yet
            </p>
          )}
          {data !== undefined && !isTable && !isEmpty && (
            <Suspense fallback={<Skeleton className="h-full w-full" />}>
              <Sized data={data}>
                <ChartCanvas label={spoken(title, headlines)} data={data} />
              </Sized>
            </Suspense>
          )}
        </div>
      </div>
      <Legend
        series={data !== undefined && data.series.length > 1 && !isTable ? data.series : []}
        isOfLines={data?.kind === "line"}
      />
    </section>
  );
}

/** Room for a chart: what it has, or more of it to scroll where bars lie and are many. */
function Sized({ data, children }: { data: ChartData; children: ReactNode }) {
  if (data.kind !== "rows") return children;
  return (
    <div className="h-full overflow-y-auto">
      <div className="relative h-full" style={{ minHeight: heightOf(data.labels.length) }}>
        {children}
      </div>
    </div>
  );
}

const heightOf = (rows: number) => rows * ROW_PX + AXIS_PX;

function Headlines({ headlines }: { headlines: readonly Headline[] }) {
  if (headlines.length === 0) return null;
  return (
    <dl className="flex flex-wrap gap-x-6 gap-y-1 px-4 pt-1">
      {headlines.map(({ label, value }) => (
        <div key={label} className="flex items-baseline gap-1.5">
          <dd className="tabular order-first text-xl font-semibold">{value}</dd>
          <dt className="text-sm text-ink-3">{label}</dt>
        </div>
      ))}
    </dl>
  );
}

function Legend({ series, isOfLines }: { series: readonly Series[]; isOfLines: boolean }) {
  if (series.length === 0) return null;
  return (
    <ul className="flex flex-wrap gap-x-4 gap-y-1 px-4 pb-3 text-sm text-ink-2">
      {series.map(({ label, colour }, index) => (
        <li key={label} className="flex items-center gap-1.5">
          <span
            aria-hidden
            className={cn("size-2 rounded-sm forced-color-adjust-none", SWATCHES[colour])}
          />
          {isOfLines && (
            <svg aria-hidden className="hidden h-2 w-6 forced-colors:block">
              <path
                d="M0 4h24"
                stroke="currentColor"
                strokeWidth={1.5}
                strokeDasharray={DASHES[index % DASHES.length]?.join(" ")}
              />
            </svg>
          )}
          {label}
        </li>
      ))}
    </ul>
  );
}

function ChartTable({ title, data }: { title: string; data: ChartData }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard
    <section aria-label={`${title}, table`} tabIndex={0} className="h-full overflow-auto">
      <table className="tabular w-full text-right text-sm">
        <thead className="sticky top-0 bg-surface text-ink-3">
          <tr>
            <Head left>{data.over}</Head>
            {data.series.map(({ label }) => (
              <Head key={label}>{label}</Head>
            ))}
          </tr>
        </thead>
        <tbody>
          {inTable(data).map((index) => (
            <tr key={index} className="border-t border-line">
              <th scope="row" className="py-1 pr-3 text-left font-normal text-ink-2">
                {(data.exact ?? data.labels)[index]}
              </th>
              {data.series.map((series) => (
                <td key={series.label} className="py-1 pl-3">
                  {figure(series.values[index], data.unit)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** Returns the order of a table's rows: the newest time first, as that is what is asked for; what lies, as it lies. */
function inTable({ kind, labels }: ChartData): number[] {
  const indexes = [...labels.keys()];
  return kind === "rows" ? indexes : indexes.reverse();
}

function Head({ left = false, children }: { left?: boolean; children: ReactNode }) {
  return (
    <th scope="col" className={cn("py-1 font-normal", left ? "pr-3 text-left" : "pl-3")}>
      {children}
    </th>
  );
}

/** Returns a chart's rows for a file: plain numbers, the unit in the head. */
export function csvRows(data: ChartData) {
  return [
    [data.over, ...data.series.map(({ label }) => `${label}${CSV_UNITS[data.unit]}`)],
    ...(data.exact ?? data.labels).map((label, index) => [
      label,
      ...data.series.map(({ values }) => values[index] ?? null),
    ]),
  ];
}

const fileName = (title: string) => `${title.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")}.csv`;

function spoken(title: string, headlines: readonly Headline[]): string {
  const figures = headlines.map(({ label, value }) => `${value} ${label}`).join(", ");
  return figures === "" ? title : `${title}: ${figures}`;
}
