/** What is prepared before the show and opened with one tap: kept on this machine, per stream. An opened one is the server's. */
import { keep, recall } from '../lib/keep';
import { newClientId } from '../lib/outbox';
import type { DropPlan, PollPlan, WheelPlan } from '../lib/wire';

/** `delayMs`: it opens that long after the tap. */
export type Plan<T> = T & { delayMs?: number };

interface Plans {
  drops: Plan<DropPlan>[];
  wheels: WheelPlan[];
  polls: PollPlan[];
}

/** An id that was not used before: the server takes each only once. */
export const newId = (kind: string) => `${kind}-${newClientId().replaceAll('-', '').slice(0, 12)}`;

export class Prepared {
  #all: Plans;
  #subscribers = new Set<(all: Plans) => void>();
  readonly #key: string;

  constructor(stream: string) {
    this.#key = `haat.prepared ${stream}`;
    this.#all = { drops: [], wheels: [], polls: [], ...recall<Partial<Plans>>('local', this.#key, {}) };
  }

  /** Store contract: calls `run` now and after every change. */
  subscribe(run: (all: Plans) => void): () => void {
    this.#subscribers.add(run);
    run(this.#all);
    return () => this.#subscribers.delete(run);
  }

  /** Adds it, or replaces the one of the same id. */
  put<K extends keyof Plans>(kind: K, plan: Plans[K][number]): void {
    const known = this.#all[kind] as Plans[K][number][];
    const isKnown = known.some(({ id }) => id === plan.id);
    this.#set(kind, (isKnown ? known.map((one) => (one.id === plan.id ? plan : one)) : [...known, plan]) as Plans[K]);
  }

  remove<K extends keyof Plans>(kind: K, id: string): void {
    this.#set(kind, (this.#all[kind] as Plans[K][number][]).filter((one) => one.id !== id) as Plans[K]);
  }

  #set<K extends keyof Plans>(kind: K, plans: Plans[K]): void {
    this.#all = { ...this.#all, [kind]: plans };
    keep('local', this.#key, this.#all);
    for (const run of this.#subscribers) run(this.#all);
  }
}

/** The plan as the server wants it at this moment (server clock, milliseconds). */
export function dueDrop({ delayMs, ...plan }: Plan<DropPlan>, now: number): DropPlan {
  return delayMs ? { ...plan, opensAt: now + delayMs } : plan;
}
