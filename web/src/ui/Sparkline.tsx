const HEIGHT = 20;
const STEP = 4;
const BAR = 3;

/** A few values as small bars, the last one now; `max` is what fills the height. */
export function Sparkline({
  values,
  max,
  label,
}: {
  values: readonly (number | null)[];
  max: number;
  label: string;
}) {
  const width = values.length * STEP - (STEP - BAR);
  return (
    <svg
      viewBox={`0 0 ${width} ${HEIGHT}`}
      width={width}
      height={HEIGHT}
      role="img"
      aria-label={label}
      className="shrink-0 text-accent"
    >
      {values.map((value, index) => {
        const height = Math.max(1, ((value ?? 0) / max) * HEIGHT);
        return (
          <rect
            // biome-ignore lint/suspicious/noArrayIndexKey: a place in time has no other name
            key={index}
            x={index * STEP}
            y={HEIGHT - height}
            width={BAR}
            height={height}
            rx={1}
            fill="currentColor"
            opacity={value ? 0.9 : 0.25}
          />
        );
      })}
    </svg>
  );
}
