/**
 * The stream's figures as they were asked for, every few seconds: the newest, enough of them for a small chart, and the best of
 * each minute. They outlive a reload of this tab.
 */
import { keep, recall } from '../lib/keep';
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

/** What a minute had, as far as somebody looked. */
export interface SeenMinute {
  /** Its start, server clock, milliseconds. */
  at: number;
  /** Most at once. */
  viewers: number;
  reactions: number;
}

const everyMs = 2000;
/** Five minutes. */
const capacity = 150;
const minuteMs = 60_000;
/** A day. */
const maxMinutes = 1440;
/** So many samples later they are stored anew. */
const keepEach = 5;

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

  #minutes: SeenMinute[] = [];
  #taken = 0;
  readonly #key: string;

  constructor(private readonly live: Pick<Live, 'command' | 'state' | 'streamId'>) {
    this.#key = `haat.figures ${live.streamId}`;
    const { samples, minutes } = recall<{ samples?: Sample[]; minutes?: SeenMinute[] }>('session', this.#key, {});
    if (Array.isArray(samples)) this.#series = { stats: null, samples: samples.filter(({ at }) => at > Date.now() - capacity * everyMs) };
    if (Array.isArray(minutes)) this.#minutes = minutes;
  }

  /** The oldest first. */
  minutes(): readonly SeenMinute[] {
    return this.#minutes;
  }

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
    const before = this.#series.samples.at(-1);
    const sample = { at: Date.now(), viewers, messages, reactions: countOf(stats.reactions), claims, revenue };
    this.#series = { stats, samples: [...this.#series.samples, sample].slice(-capacity) };
    this.#note(viewers, Math.max(0, before ? sample.reactions - before.reactions : 0));
    if (this.#taken++ % keepEach === 0) keep('session', this.#key, { samples: this.#series.samples, minutes: this.#minutes });
    for (const run of this.#subscribers) run(this.#series);
  }
  #note(viewers: number, reactions: number): void {
    const at = Math.floor((Date.now() + this.live.state.clockSkew) / minuteMs) * minuteMs;
    const last = this.#minutes.at(-1);
    if (last?.at === at) {
      last.viewers = Math.max(last.viewers, viewers);
      last.reactions += reactions;
    } else this.#minutes = [...this.#minutes, { at, viewers, reactions }].slice(-maxMinutes);
  }
}
