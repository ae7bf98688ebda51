/** Where a wheel has to stop so that its pointer, at the top, is on the slice that the server drew. Angles in degrees, clockwise. */
import type { Prize } from './wire';

export interface Slice {
  /** Null: the slice of no prize. */
  prize: Prize | null;
  /** Of its middle, on the wheel as drawn. */
  middle: number;
  width: number;
}

/** All slices are equally wide: they say what there is, the list beside the wheel says how likely. */
export function slices(prizes: readonly Prize[]): Slice[] {
  const all: (Prize | null)[] = [...prizes, null];
  const width = 360 / all.length;
  return all.map((prize, i) => ({ prize, width, middle: (i + 0.5) * width }));
}

/** The rotation at which that prize is under the pointer, at least `turns` whole turns beyond `from`. `off` (−1 to 1) keeps it from the exact middle. */
export function stopAt(all: readonly Slice[], prize: string | null, from: number, turns: number, off = 0): number {
  const slice = all.find((slice) => (slice.prize?.id ?? null) === prize) ?? all.at(-1);
  if (!slice) return from;
  const target = 360 - (slice.middle + off * slice.width * 0.35);
  const rest = (((target - from) % 360) + 360) % 360;
  return from + rest + turns * 360;
}

/** Which slice is under the pointer at that rotation. */
export function under(all: readonly Slice[], rotation: number): Slice | undefined {
  const angle = (((360 - rotation) % 360) + 360) % 360;
  return all.find(({ middle, width }) => Math.abs(angle - middle) <= width / 2);
}

/** How likely each prize is among those that are left, in percent. */
export function odds(prizes: readonly Prize[]): Map<string, number> {
  const left = prizes.filter(({ stock }) => stock === undefined || stock > 0);
  const sum = left.reduce((total, { weight }) => total + weight, 0);
  return new Map(left.map(({ id, weight }) => [id, sum ? (weight / sum) * 100 : 0]));
}
