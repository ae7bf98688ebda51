/** Messages that wait for the staff's decision, the oldest first. Past its capacity the oldest go: they stay unsent. */
import type { Live } from '../lib/live';
import type { Ledger } from './ledger';
import type { HeldMessage } from '../lib/wire';

const capacity = 200;

export class Held {
  #all: readonly HeldMessage[] = [];
  #subscribers = new Set<(all: readonly HeldMessage[]) => void>();

  constructor(live: Pick<Live, 'on'>, ledger: Pick<Ledger, 'listen'>) {
    live.on('chat:held', ({ message }) => {
      if (!this.#all.some(({ id }) => id === message.id)) this.#set([...this.#all, message].slice(-capacity));
    });
    // Another one of the staff approved it.
    live.on('chat:message', ({ id }) => this.drop(id));
    // Or refused it, which is told to nobody.
    ledger.listen((records) => {
      for (const { kind, data } of records) if (kind === 'chat:reject') this.drop(String(data.message));
    });
  }

  /** Store contract: calls `run` now and after every change. */
  subscribe(run: (all: readonly HeldMessage[]) => void): () => void {
    this.#subscribers.add(run);
    run(this.#all);
    return () => this.#subscribers.delete(run);
  }

  drop(id: string): void {
    if (this.#all.some((message) => message.id === id)) this.#set(this.#all.filter((message) => message.id !== id));
  }

  #set(all: readonly HeldMessage[]): void {
    this.#all = all;
    for (const run of this.#subscribers) run(all);
  }
}
