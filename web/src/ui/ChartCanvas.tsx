import {
  BarController,
  BarElement,
  CategoryScale,
  type ChartConfiguration,
  type ChartDataset,
  Chart as ChartJs,
  Filler,
  LinearScale,
  LineController,
  LineElement,
  PointElement,
  type Tick,
  Tooltip,
} from "chart.js";
import { useEffect, useRef, useSyncExternalStore } from "react";
import { figure, tick } from "@/lib/figures";
import { useTheme } from "@/shell/theme";
import { type ChartData, DASHES, type Series } from "./Chart";

ChartJs.register(
  BarController,
  BarElement,
  CategoryScale,
  Filler,
  LinearScale,
  LineController,
  LineElement,
  PointElement,
  Tooltip,
);

const AREA_ALPHA = 0.75;
const LINE_ALPHA = 0.1;
const TICKS_MAX = 8;
const DARK = "(prefers-color-scheme: dark)";
const STILL = "(prefers-reduced-motion: reduce)";
const FORCED = "(forced-colors: active)";

/** Draws a chart by Chart.js, in the colours of the theme. Loaded when the first chart is shown. */
export default function ChartCanvas({ label, data }: { label: string; data: ChartData }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const drawn = useRef(false);
  const { theme } = useTheme();
  const isDark = useMedia(DARK);
  const isForced = useMedia(FORCED);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another theme has other colours
  useEffect(() => {
    if (canvas.current === null) return;
    // It moves when it first appears, and never when it is drawn anew.
    const isStill = drawn.current || matchMedia(STILL).matches;
    const chart = new ChartJs(
      canvas.current,
      configuration(data, styleOf(canvas.current, isForced), isStill),
    );
    drawn.current = true;
    return () => chart.destroy();
  }, [data, theme, isDark, isForced]);
  // Where a browser puts colours of its own in place of all others, a chart keeps its own: it is told apart by them.
  return (
    <canvas
      ref={canvas}
      role="img"
      aria-label={label}
      className="forced-color-adjust-none forced-colors:bg-surface"
    />
  );
}

type Style = {
  colour(token: string, alpha?: number): string;
  font: { family: string; size: number };
  duration: number;
  /** Whether lines are told apart by more than their colours. */
  isDashed: boolean;
};

/** Reads the tokens. A colour is read through an element, as a token's own text names both themes. */
function styleOf(canvas: HTMLCanvasElement, isDashed: boolean): Style {
  const root = getComputedStyle(document.documentElement);
  const remPx = Number.parseFloat(root.fontSize);
  const colour = (token: string, alpha = 1) => {
    canvas.style.color = `var(--mc-${token})`;
    const [red, green, blue, own = "1"] =
      getComputedStyle(canvas).color.match(/[\d.]+/g) ?? ([] as string[]);
    return `rgba(${red}, ${green}, ${blue}, ${Number(own) * alpha})`;
  };
  return {
    colour,
    font: {
      family: getComputedStyle(document.body).fontFamily,
      size: Number.parseFloat(root.getPropertyValue("--text-xs")) * remPx,
    },
    duration: Number.parseFloat(root.getPropertyValue("--mc-calm")),
    isDashed,
  };
}

function configuration(
  data: ChartData,
  style: Style,
  isStill: boolean,
): ChartConfiguration<"line" | "bar", (number | null)[], string> {
  const isLying = data.kind === "rows";
  const isBars = isLying || data.kind === "bars" || data.kind === "stacked";
  const isPiled = data.kind === "area" || data.kind === "stacked";
  const text = { color: style.colour("ink-3"), font: style.font };
  const categories = {
    stacked: isPiled,
    grid: { display: false },
    border: { color: style.colour("line") },
    ticks: {
      ...text,
      maxRotation: 0,
      autoSkip: !isLying,
      autoSkipPadding: 16,
      callback: (_: unknown, index: number) => shortened(data.labels[index] ?? ""),
    },
  };
  const values = {
    stacked: isPiled,
    beginAtZero: true,
    grid: { color: style.colour("line") },
    border: { display: false },
    ticks: {
      ...text,
      maxTicksLimit: TICKS_MAX / (isLying ? 1 : 1.5),
      ...(data.unit === "count" ? { precision: 0 } : {}),
      ...(data.unit === "duration" ? { stepSize: stepOf(data) } : {}),
      callback: (value: string | number, _: number, [first, next]: Tick[]) =>
        tick(Number(value), data.unit, Math.abs((next?.value ?? 0) - (first?.value ?? 0))),
    },
  };
  return {
    type: isBars ? "bar" : "line",
    data: {
      labels: [...data.labels],
      datasets: data.series.map((series, index) =>
        isBars ? bars(series, style) : line(series, index, isPiled, style),
      ),
    },
    options: {
      indexAxis: isLying ? "y" : "x",
      responsive: true,
      maintainAspectRatio: false,
      animation: isStill ? false : { duration: style.duration * 2 },
      interaction: { mode: "index", intersect: false, axis: isLying ? "y" : "x" },
      scales: isLying ? { x: values, y: categories } : { x: categories, y: values },
      plugins: {
        tooltip: {
          backgroundColor: style.colour("overlay"),
          borderColor: style.colour("line-strong"),
          borderWidth: 1,
          titleColor: style.colour("ink"),
          bodyColor: style.colour("ink-2"),
          titleFont: { ...style.font, weight: 600 },
          bodyFont: style.font,
          padding: 8,
          boxPadding: 4,
          boxWidth: 8,
          boxHeight: 8,
          caretSize: 0,
          multiKeyBackground: style.colour("overlay"),
          itemSort: (a, b) => (isPiled ? b.datasetIndex - a.datasetIndex : 0),
          callbacks: {
            labelColor: ({ dataset }) => ({
              borderColor: swatch(dataset),
              backgroundColor: swatch(dataset),
              borderWidth: 0,
              borderRadius: 2,
            }),
            label: ({ dataset, dataIndex }) =>
              ` ${dataset.label}  ${figure(dataset.data[dataIndex] as number | null, data.unit)}`,
          },
        },
      },
    },
  };
}

/** Returns the colour that a series has in the legend. */
function swatch({ backgroundColor, borderColor }: ChartDataset): string {
  return String(borderColor ?? backgroundColor);
}

function line(
  series: Series,
  index: number,
  isPiled: boolean,
  style: Style,
): ChartDataset<"line", (number | null)[]> {
  return {
    type: "line",
    label: series.label,
    data: [...series.values],
    borderColor: style.colour(series.colour),
    backgroundColor: style.colour(series.colour, isPiled ? AREA_ALPHA : LINE_ALPHA),
    borderWidth: isPiled ? 1 : 1.5,
    borderDash: style.isDashed && !isPiled ? [...(DASHES[index % DASHES.length] ?? [])] : [],
    fill: isPiled ? (index === 0 ? "origin" : "-1") : false,
    spanGaps: true,
    // A value between two gaps would be no line, and not be seen.
    pointRadius: isPiled ? 0 : 1.5,
    pointHoverRadius: 4,
    pointBackgroundColor: style.colour(series.colour),
  };
}

function bars(series: Series, style: Style): ChartDataset<"bar", (number | null)[]> {
  return {
    type: "bar",
    label: series.label,
    data: [...series.values],
    backgroundColor: style.colour(series.colour, AREA_ALPHA),
    hoverBackgroundColor: style.colour(series.colour),
    borderRadius: 2,
    maxBarThickness: 24,
    categoryPercentage: 0.8,
    barPercentage: 0.9,
  };
}

const DURATION_STEPS_S = [10, 60, 300, 900, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 172_800];
const STEPS_MAX = 5;
const DAY_S = 86_400;

/** Returns the step of a scale of durations: minutes, hours or days that are whole. */
function stepOf({ series }: ChartData): number {
  const most = Math.max(0, ...series.flatMap(({ values }) => values.map((value) => value ?? 0)));
  const fits = DURATION_STEPS_S.find((step) => most / step <= STEPS_MAX);
  return fits ?? Math.ceil(most / STEPS_MAX / DAY_S) * DAY_S;
}

const LABEL_CHARS_MAX = 14;
const shortened = (label: string) =>
  label.length > LABEL_CHARS_MAX ? `${label.slice(0, LABEL_CHARS_MAX - 1)}…` : label;

function useMedia(query: string): boolean {
  return useSyncExternalStore(
    (changed) => {
      const list = matchMedia(query);
      list.addEventListener("change", changed);
      return () => list.removeEventListener("change", changed);
    },
    () => matchMedia(query).matches,
  );
}
