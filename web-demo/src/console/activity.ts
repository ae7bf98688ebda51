/**
 * The audit trail of a stream as this console has seen it: what happened and who did it, the newest first. Its own commands are in
 * it too, because what concerns one user only (a mute, a ban) is told to nobody else. It outlives a reload of this tab, and never
 * grows beyond its capacity.
 */
import type { Live } from '../lib/live';
import { noticeText, pinnedProduct, productOf } from '../lib/feed';
import { keep, recall } from '../lib/keep';
import type { CommandError, StreamState } from '../lib/wire';

/** A name of `terms.log`. */
export type What =
  | 'started'
  | 'updated'
  | 'ended'
  | 'deleted'
  | 'pinned'
  | 'unpinned'
  | 'mode'
  | 'notice'
  | 'products'
  | 'shown'
  | 'hidden'
  | 'dropOpened'
  | 'dropClosed'
  | 'wheelOpened'
  | 'wheelClosed'
  | 'won'
  | 'pollOpened'
  | 'pollClosed'
  | 'muted'
  | 'banned'
  | 'unbanned'
  | 'unmuted'
  | 'approved'
  | 'rejected'
  | 'words'
  | 'answered'
  | 'questionHidden'
  | 'failed';

export interface Entry {
  key: number;
  /** Local clock, milliseconds. */
  at: number;
  what: What;
  /** What it was about, as people wrote it. */
  about: string;
  /** Who did it, where the server says so. */
  by: string;
  sold?: number;
  /** The user that a sanction hit: it can be lifted here. */
  user?: string;
  error?: CommandError;
}

const capacity = 300;
const keepEveryMs = 1000;
const idOf = (thing: string | { id: string }) => (typeof thing === 'string' ? thing : thing.id);

export class Activity {
  #entries: readonly Entry[] = [];
  #next = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #subscribers = new Set<(entries: readonly Entry[]) => void>();

  constructor(private readonly live: Pick<Live, 'on' | 'state' | 'streamId'>) {
    this.#entries = recall<Entry[]>('session', this.#key, []);
    this.#next = (this.#entries[0]?.key ?? -1) + 1;
    const stream = (): StreamState | null => live.state.stream;
    const titleOf = (product: Parameters<typeof productOf>[1]) => {
      const state = stream();
      return (state && productOf(state, product)?.title) ?? idOf(product);
    };
    const dropTitle = (drop: string) => {
      const known = stream()?.drops.find(({ id }) => id === drop);
      return known ? titleOf(known.product) : drop;
    };
    live.on('stream:started', ({ state }) => this.note('started', state.title));
    live.on('stream:updated', ({ state }) => this.note('updated', state.title));
    live.on('stream:ended', ({ state }) => this.note('ended', state.title));
    live.on('chat:deleted', ({ by }) =>
      this.note('deleted', '', { by: typeof by === 'string' ? by : (by?.name ?? by?.id ?? '') }),
    );
    live.on('chat:pinned', ({ message }) => this.note(message ? 'pinned' : 'unpinned', message?.text ?? ''));
    live.on('chat:mode', () => this.note('mode'));
    live.on('notice', ({ text }) => this.note('notice', text || noticeText(stream() as StreamState)));
    live.on('products', ({ products }) => this.note('products', String(products.length)));
    live.on('product:pinned', ({ product }) => {
      const state = stream();
      this.note(product ? 'shown' : 'hidden', product && state ? (pinnedProduct(state)?.title ?? '') : '');
    });
    live.on('drop:opened', ({ drop }) => this.note('dropOpened', titleOf(drop.product)));
    live.on('drop:closed', ({ drop, sold }) => this.note('dropClosed', dropTitle(idOf(drop)), { sold }));
    live.on('wheel:opened', ({ wheel }) => this.note('wheelOpened', wheel.title));
    live.on('wheel:closed', ({ wheel }) =>
      this.note('wheelClosed', stream()?.wheels.find(({ id }) => id === idOf(wheel))?.title ?? ''),
    );
    live.on('wheel:won', ({ user, prize }) => this.note('won', prize.label, { by: user.name || user.id }));
    live.on('poll:opened', ({ poll }) => this.note('pollOpened', poll.question));
    live.on('poll:closed', ({ poll }) =>
      this.note('pollClosed', stream()?.polls.find(({ id }) => id === idOf(poll))?.question ?? ''),
    );
  }

  /** Store contract: calls `run` now and after every change. */
  subscribe(run: (entries: readonly Entry[]) => void): () => void {
    this.#subscribers.add(run);
    run(this.#entries);
    return () => this.#subscribers.delete(run);
  }

  note(what: What, about = '', more: Partial<Entry> = {}): void {
    const entry = { key: this.#next++, at: Date.now(), what, about, by: '', ...more };
    this.#entries = [entry, ...this.#entries.slice(0, capacity - 1)];
    for (const run of this.#subscribers) run(this.#entries);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      keep('session', this.#key, this.#entries);
    }, keepEveryMs);
  }

  get #key(): string {
    return `haat.log ${this.live.streamId}`;
  }
}
