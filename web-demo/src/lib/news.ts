/**
 * What happened just now, one line at a time, each for a few seconds. When more happens than can be read, purchases add up and
 * the oldest lines go: it must never run behind the show.
 */
import type { Live } from './live';
import { productOf } from './feed';

export type News =
  | { kind: 'drop' | 'wheel' | 'poll'; text: string }
  | { kind: 'won'; name: string; text: string }
  | { kind: 'bought'; name: string; people: number; quantity: number; text: string };

const eachMs = 3500;
const shortestMs = 1200;
const maxWaiting = 3;

export class NewsFeed {
  #current: News | null = null;
  #since = 0;
  #waiting: News[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #subscribers = new Set<(news: News | null) => void>();

  constructor(live: Pick<Live, 'on' | 'state'>) {
    const title = (product: Parameters<typeof productOf>[1]) =>
      (live.state.stream && productOf(live.state.stream, product)?.title) ?? '';
    live.on('drop:opened', ({ drop }) => this.tell({ kind: 'drop', text: title(drop.product) }));
    live.on('wheel:opened', ({ wheel }) => this.tell({ kind: 'wheel', text: wheel.title }));
    live.on('poll:opened', ({ poll }) => this.tell({ kind: 'poll', text: poll.question }));
    live.on('wheel:won', ({ user, prize }) => {
      // The own one is for the wheel to tell, once it stands still.
      if (user.id !== live.state.me?.id) this.tell({ kind: 'won', name: user.name || user.id, text: prize.label });
    });
    live.on('purchase', ({ user, product, quantity }) =>
      this.tell({ kind: 'bought', name: user.name, people: 1, quantity, text: title(product) }),
    );
  }

  /** Store contract: calls `run` now and after every change. */
  subscribe(run: (news: News | null) => void): () => void {
    this.#subscribers.add(run);
    run(this.#current);
    return () => this.#subscribers.delete(run);
  }

  tell(news: News): void {
    if (news.kind === 'bought' && this.#addUp(news)) return;
    if (this.#current && Date.now() - this.#since < eachMs) {
      this.#waiting.push(news);
      if (this.#waiting.length > maxWaiting) this.#waiting.shift();
      // The line has been read: what waits is newer.
      this.#later(Math.max(0, this.#since + shortestMs - Date.now()));
    } else this.#show(news);
  }

  /** Purchases of one product become one line. */
  #addUp(news: News & { kind: 'bought' }): boolean {
    for (const known of [...this.#waiting, this.#current]) {
      if (known?.kind !== 'bought' || known.text !== news.text) continue;
      known.people++;
      known.quantity += news.quantity;
      if (known === this.#current) this.#show({ ...known });
      return true;
    }
    return false;
  }

  #show(news: News | null): void {
    this.#current = news;
    this.#since = Date.now();
    if (news) this.#later(eachMs);
    for (const run of this.#subscribers) run(news);
  }

  #later(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#show(this.#waiting.shift() ?? null), ms);
  }
}
