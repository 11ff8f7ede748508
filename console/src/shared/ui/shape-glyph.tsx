import type { Shape } from "~/shared/map/looks";

/** The same shape as the point on the map, for legends. */
export function ShapeGlyph({ shape, colour, size = 14 }: { shape: Shape; colour: string; size?: number }) {
  return (
    <svg width={size} height={size} viewBox="-10 -10 20 20" aria-hidden="true" focusable="false" style={{ flex: "none" }}>
      <g fill={colour}>{drawing(shape, colour)}</g>
    </svg>
  );
}

function drawing(shape: Shape, colour: string) {
  switch (shape) {
    case "square":
      return <rect x={-7.500} y={-7.500} width={15} height={15} />;
    case "diamond":
      return <path d="M0-9.500 9.500 0 0 9.500-9.500 0Z" />;
    case "triangle":
      return <path d="M0-9 9 7.500H-9Z" />;
    case "hexagon":
      return <path d="M-4.800-8H4.800L9.200 0 4.800 8h-9.600L-9.200 0Z" />;
    case "plus":
      return <path d="M-3-9h6v6h6v6h-6v6h-6v-6h-6v-6h6Z" />;
    case "ring":
      return <circle r={6.500} fill="none" stroke={colour} strokeWidth={4.500} />;
    default:
      return <circle r={8.500} />;
  }
}
