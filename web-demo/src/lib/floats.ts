/**
 * Reactions that float up over the picture. A crowd's thousand a second become a few dozen that can be seen: how many are
 * drawn, and how long a frame takes, does not grow with how many there are.
 */

export interface Float {
  kind: string;
  /** Milliseconds; may lie ahead. */
  bornAt: number;
  /** 0 to 1, across. */
  x: number;
  /** How far it sways, how fast, and how big it is, each around 1. */
  sway: number;
  pace: number;
  size: number;
}

export const lifeMs = 2600;
/** Most at once on the picture. */
export const maxFloats = 60;
/** What came together is let go over this time: as long as until the next comes. */
const spreadMs = 260;
const maxBorn = 14;

/** How many are drawn for so many reactions: all of a few, ever fewer of many. */
export const shownOf = (count: number) => Math.min(maxBorn, count <= 4 ? count : Math.round(4 + 2 * Math.log2(count / 4)));

export class Floats {
  #all: Float[] = [];
  /** Own taps that were shown at once and will come again in the crowd's. */
  #own = new Map<string, number>();

  /** Called when there is something new to draw. */
  wake: () => void = () => {};

  constructor(private readonly random: () => number = Math.random) {}

  /** Counts only what lives or is still to be born. */
  get all(): readonly Float[] {
    return this.#all;
  }

  /** The own tap shows at once. */
  tap(kind: string, now: number): void {
    this.#own.set(kind, (this.#own.get(kind) ?? 0) + 1);
    this.#born(kind, now);
    this.wake();
  }

  /** Reactions of everybody, the own ones among them. */
  add(added: Record<string, number>, now: number): void {
    for (const [kind, count] of Object.entries(added)) {
      const own = Math.min(this.#own.get(kind) ?? 0, count);
      this.#own.set(kind, (this.#own.get(kind) ?? 0) - own);
      const shown = shownOf(count - own);
      for (let i = 0; i < shown; i++) this.#born(kind, now + (spreadMs * i) / shown);
    }
    this.wake();
  }

  /** Forgets what has floated away. */
  sweep(now: number): void {
    this.#all = this.#all.filter(({ bornAt }) => now - bornAt < lifeMs);
  }

  #born(kind: string, bornAt: number): void {
    if (this.#all.length >= maxFloats) this.#all.shift();
    const around = (spread: number) => 1 + (this.random() - 0.5) * spread;
    this.#all.push({ kind, bornAt, x: this.random(), sway: around(1.2), pace: around(0.4), size: around(0.5) });
  }
}

/** Where it is at that age: across and up from 0 to 1, and how clear. */
export function placeOf(float: Float, now: number): { x: number; y: number; alpha: number; scale: number } | null {
  const age = (now - float.bornAt) / lifeMs;
  if (age < 0 || age >= 1) return null;
  const y = 1 - (1 - age) ** (1.4 * float.pace);
  const x = float.x + 0.14 * float.sway * Math.sin(age * 7 + float.x * 6);
  return { x, y, alpha: Math.min(1, (1 - age) * 2.2), scale: float.size * Math.min(1, 0.4 + age * 6) };
}
