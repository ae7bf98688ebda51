/**
 * How a show went, minute by minute: what was said and sold comes from the ledger, how many watched and tapped from the figures
 * that this console has seen. It stays small however long the show is.
 */
import type { Money, Person } from '../lib/wire';
import type { Ledger, LedgerRecord } from './ledger';
import type { Figures } from './series';

export interface Minute {
  /** Its start, server clock, milliseconds. */
  at: number;
  messages: number;
  claims: number;
  /** Of the currency that sells most, in its smallest unit. */
  revenue: number;
  /** Most at once; 0 where no console looked. */
  viewers: number;
  reactions: number;
}

export interface Seller {
  product: string;
  quantity: number;
  money: Money;
}

/** What stands out: the best minute of each kind. */
export interface Moment {
  kind: 'messages' | 'revenue' | 'viewers' | 'reactions';
  minute: Minute;
  /** What had opened shortly before. */
  opened: string;
}

export interface Story {
  moments: readonly Moment[];
  /** The best first. */
  sellers: readonly Seller[];
}

const minuteMs = 60_000;
/** A day. */
const maxMinutes = 1440;
const maxOpenings = 500;
const maxProducts = 1000;
const shownSellers = 5;
/** How long something that opened still explains what happens. */
const echoMs = 3 * minuteMs;

interface Claim {
  product?: string;
  quantity?: number;
  price?: Money;
  user?: Person;
}

export class Chronicle {
  #minutes = new Map<number, Minute>();
  #openings: { at: number; title: string; product: string }[] = [];
  #sold = new Map<string, Seller>();
  #subscribers = new Set<(story: Story) => void>();

  constructor(
    ledger: Pick<Ledger, 'listen'>,
    private readonly figures: Pick<Figures, 'minutes'>,
  ) {
    ledger.listen((records) => {
      for (const record of records) this.#take(record);
      this.#tell();
    });
  }

  /** Store contract: calls `run` now and after every change. */
  subscribe(run: (story: Story) => void): () => void {
    this.#subscribers.add(run);
    run(this.#story());
    return () => this.#subscribers.delete(run);
  }

  #take({ kind, at, data }: LedgerRecord): void {
    const { drop, wheel, poll } = data as Record<string, { product?: string; title?: string; question?: string } | undefined>;
    switch (kind) {
      case 'chat:message':
        this.#minute(at).messages++;
        break;
      case 'claim':
        this.#minute(at).claims++;
        this.#sell(data as Claim, at, 1);
        break;
      case 'release':
      case 'expire':
        this.#sell(data as Claim, at, -1);
        break;
      case 'drop:opened':
        this.#opened(at, '', drop?.product);
        break;
      case 'wheel:opened':
        this.#opened(at, wheel?.title);
        break;
      case 'poll:opened':
        this.#opened(at, poll?.question);
        break;
    }
  }

  #opened(at: number, title = '', product = ''): void {
    this.#openings = [...this.#openings, { at, title, product }].slice(-maxOpenings);
  }

  #sell({ product = '', quantity = 1, price }: Claim, at: number, sign: 1 | -1): void {
    if (!price) return;
    const { amount, currency } = price;
    if (sign > 0) this.#minute(at).revenue += amount * quantity;
    const key = `${product} ${currency}`;
    const known = this.#sold.get(key) ?? { product, quantity: 0, money: { amount: 0, currency } };
    known.quantity += sign * quantity;
    known.money.amount += sign * amount * quantity;
    if (this.#sold.size < maxProducts || this.#sold.has(key)) this.#sold.set(key, known);
  }

  #minute(at: number): Minute {
    const start = Math.floor(at / minuteMs) * minuteMs;
    let minute = this.#minutes.get(start);
    if (!minute) {
      minute = { at: start, messages: 0, claims: 0, revenue: 0, viewers: 0, reactions: 0 };
      this.#minutes.set(start, minute);
      const [oldest] = this.#minutes.keys();
      if (this.#minutes.size > maxMinutes && oldest !== undefined) this.#minutes.delete(oldest);
    }
    return minute;
  }

  #story(): Story {
    const minutes = new Map(this.#minutes);
    for (const { at, viewers, reactions } of this.figures.minutes()) {
      const minute = minutes.get(at) ?? { at, messages: 0, claims: 0, revenue: 0, viewers: 0, reactions: 0 };
      minutes.set(at, { ...minute, viewers, reactions });
    }
    const kinds = ['revenue', 'messages', 'reactions', 'viewers'] as const;
    const moments = kinds.flatMap((kind): Moment[] => {
      const best = [...minutes.values()].reduce<Minute | null>((best, one) => (one[kind] > (best?.[kind] ?? 0) ? one : best), null);
      return best ? [{ kind, minute: best, opened: this.#before(best.at) }] : [];
    });
    const sellers = [...this.#sold.values()].filter(({ quantity }) => quantity > 0);
    sellers.sort((a, b) => b.money.amount - a.money.amount);
    return { moments, sellers: sellers.slice(0, shownSellers) };
  }

  /** The title, or the product's id, of what opened last before the end of that minute. */
  #before(at: number): string {
    const opening = this.#openings.findLast((opening) => opening.at < at + minuteMs && opening.at > at - echoMs);
    return opening?.title || opening?.product || '';
  }

  #tell(): void {
    if (!this.#subscribers.size) return;
    const story = this.#story();
    for (const run of this.#subscribers) run(story);
  }
}
