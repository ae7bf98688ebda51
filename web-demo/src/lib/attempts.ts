/**
 * Claims and spins, each under one request id until its outcome is known, through lost answers, reconnections and reloads:
 * the server answers a repeat with the first outcome, so nobody gets two for one tap, and nobody loses one to the network.
 * A new tap is a new request only after a definite answer.
 */
import { keep, recall } from './keep';
import { newClientId } from './outbox';
import type { CommandError, Reply } from './wire';

/** asking: on its way · unknown: no answer yet, the same request is repeated · done: got it · refused: a definite no */
export interface Attempt<T> {
  state: 'asking' | 'unknown' | 'done' | 'refused';
  requestId: string;
  /** The newest good answer, also while a later attempt is open. */
  got?: T;
  /** Good answers so far. */
  times: number;
  error?: CommandError;
}

export type All<T> = Readonly<Record<string, Attempt<T>>>;
/** Sends one request; answers null when no reply came. */
export type Ask<T> = (id: string, requestId: string, done: (reply: Reply<T> | null) => void) => void;

/** The outcome is not known, or the server said when to ask again. */
const open = new Set(['unavailable', 'internal', 'not_joined', 'rate_limited', 'conflict']);
const maxRepeats = 4;
const longestWaitMs = 30_000;

export class Attempts<T> {
  #all: All<T> = {};
  #ready = false;
  #repeats = new Map<string, number>();
  #timers = new Map<string, ReturnType<typeof setTimeout>>();
  /** Number of the newest sending of each. */
  #sent = new Map<string, number>();
  #subscribers = new Set<(all: All<T>) => void>();
  #key = '';

  constructor(private readonly ask: Ask<T>) {}

  /** Store contract: calls `run` now and after every change. */
  subscribe(run: (all: All<T>) => void): () => void {
    this.#subscribers.add(run);
    run(this.#all);
    return () => this.#subscribers.delete(run);
  }

  get all(): All<T> {
    return this.#all;
  }

  /** Remembers under that key in this tab, and takes up what is remembered there. Who one is belongs into the key. */
  rememberAs(key: string): void {
    if (this.#key === key) return;
    this.#key = key;
    this.#all = recall<Record<string, Attempt<T>>>('session', key, {});
    // Whatever was on its way when the page went is not known.
    for (const [id, attempt] of Object.entries(this.#all))
      if (attempt.state === 'asking') this.#change(id, { ...attempt, state: 'unknown' });
    this.#tell();
  }

  /** The user taps. Does nothing while an attempt at this one is on its way. */
  tap(id: string): void {
    const before = this.#all[id];
    if (before?.state === 'asking') return;
    this.#repeats.delete(id);
    const requestId = before?.state === 'unknown' ? before.requestId : newClientId();
    this.#send(id, { state: 'asking', requestId, times: before?.times ?? 0, ...(before?.got && { got: before.got }) });
  }

  /** The stream is joined: asks again for every outcome that is not known. */
  start(): void {
    this.#ready = true;
    this.#repeats.clear();
    for (const [id, attempt] of Object.entries(this.#all))
      if (attempt.state === 'unknown') this.#send(id, { ...attempt, state: 'asking' });
  }

  /** The connection is gone: answers that are not here yet will not come. */
  stop(): void {
    this.#ready = false;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    for (const [id, attempt] of Object.entries(this.#all))
      if (attempt.state === 'asking') this.#change(id, { ...attempt, state: 'unknown' });
  }

  #send(id: string, attempt: Attempt<T>): void {
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
    if (!this.#ready) return this.#change(id, { ...attempt, state: 'unknown' });
    this.#change(id, attempt);
    const number = (this.#sent.get(id) ?? 0) + 1;
    this.#sent.set(id, number);
    this.ask(id, attempt.requestId, (reply) => {
      const now = this.#all[id];
      if (now?.requestId !== attempt.requestId || now.state === 'done' || now.state === 'refused') return;
      // An answer is one to every sending of the request; that none came is news only of the newest.
      if (reply || this.#sent.get(id) === number) this.#settle(id, attempt, reply);
    });
  }

  #settle(id: string, attempt: Attempt<T>, reply: Reply<T> | null): void {
    if (reply?.ok) return this.#change(id, { state: 'done', requestId: attempt.requestId, got: reply, times: attempt.times + 1 });
    const error = reply?.error ?? { code: 'unavailable', message: 'no answer' };
    if (!open.has(error.code)) return this.#change(id, { ...attempt, state: 'refused', error });
    const repeats = this.#repeats.get(id) ?? 0;
    this.#repeats.set(id, repeats + 1);
    const again = this.#ready && repeats < maxRepeats;
    if (!again && error.code === 'conflict') return this.#change(id, { ...attempt, state: 'refused', error });
    this.#change(id, { ...attempt, state: again ? 'asking' : 'unknown', error });
    if (!again) return;
    const wait = Math.min(error.retryAfterMs ?? 500 * 2 ** repeats, longestWaitMs);
    this.#timers.set(
      id,
      setTimeout(() => this.#send(id, { ...attempt, state: 'asking' }), wait),
    );
  }

  #change(id: string, attempt: Attempt<T>): void {
    this.#all = { ...this.#all, [id]: attempt };
    this.#tell();
  }

  #tell(): void {
    if (this.#key) keep('session', this.#key, this.#all);
    for (const run of this.#subscribers) run(this.#all);
  }
}
