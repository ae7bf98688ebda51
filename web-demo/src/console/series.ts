/** The stream's figures as they were asked for, every few seconds: the newest, and enough of them for a small chart. */
import type { Live } from '../lib/live';
import type { Money, Stats } from '../lib/wire';

export interface Sample {
  at: number;
  viewers: number;
  messages: number;
  reactions: number;
  claims: number;
  /** Of the currency that sells most, in its smallest unit. */
  revenue: number;
}

export interface Series {
  stats: Stats | null;
  samples: readonly Sample[];
}

const everyMs = 2000;
/** Five minutes. */
const capacity = 150;

export const countOf = (reactions: Stats['reactions']) =>
  typeof reactions === 'number' ? reactions : Object.values(reactions).reduce((sum, count) => sum + count, 0);

export const mainRevenue = (revenue: readonly Money[]): Money | undefined => [...revenue].sort((a, b) => b.amount - a.amount)[0];

/** What a counter grew by from one sample to the next; from a start anew it counts from zero. */
export const growth = (values: readonly number[]): number[] =>
  values.slice(1).map((value, i) => (value >= (values[i] ?? 0) ? value - (values[i] ?? 0) : value));

export class Figures {
  #series: Series = { stats: null, samples: [] };
  #subscribers = new Set<(series: Series) => void>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly live: Pick<Live, 'command' | 'state'>) {}

  /** Store contract. Asks only while somebody looks. */
  subscribe(run: (series: Series) => void): () => void {
    this.#subscribers.add(run);
    run(this.#series);
    if (this.#subscribers.size === 1) void this.#ask();
    return () => {
      this.#subscribers.delete(run);
      if (this.#subscribers.size === 0) clearTimeout(this.#timer);
    };
  }

  async #ask(): Promise<void> {
    const { phase } = this.live.state;
    // An ended stream's figures are asked for until they are there.
    const wanted = phase === 'live' || phase === 'waiting' || phase === 'ended';
    if (wanted && this.live.state.stream) {
      const reply = await this.live.command('stream:stats', {});
      if (reply.ok) this.#take(reply.stats);
    }
    clearTimeout(this.#timer);
    if (this.#subscribers.size) this.#timer = setTimeout(() => void this.#ask(), everyMs);
  }

  #take(stats: Stats): void {
    const { viewers, messages, claims } = stats;
    const revenue = mainRevenue(stats.revenue)?.amount ?? 0;
    const sample = { at: Date.now(), viewers, messages, reactions: countOf(stats.reactions), claims, revenue };
    this.#series = { stats, samples: [...this.#series.samples, sample].slice(-capacity) };
    for (const run of this.#subscribers) run(this.#series);
  }
}
