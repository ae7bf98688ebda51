/** What this user has voted for, by poll or question; remembered in this tab, because the server does not tell it again. */
import { keep, recall } from './keep';

export type Choices = Readonly<Record<string, number>>;

export class Votes {
  #all: Choices = {};
  #key = '';
  #subscribers = new Set<(all: Choices) => void>();

  /** Store contract: calls `run` now and after every change. */
  subscribe(run: (all: Choices) => void): () => void {
    this.#subscribers.add(run);
    run(this.#all);
    return () => this.#subscribers.delete(run);
  }

  /** Remembers under that key, and takes up what is remembered there. Who one is belongs into the key. */
  rememberAs(key: string): void {
    if (key === this.#key) return;
    this.#key = key;
    this.#all = recall<Record<string, number>>('session', key, {});
    this.#tell();
  }

  /** `option`: its index; −1 where the server says that one has voted, and not for what. */
  set(id: string, option: number): void {
    this.#all = { ...this.#all, [id]: option };
    this.#tell();
  }

  #tell(): void {
    if (this.#key) keep('session', this.#key, this.#all);
    for (const run of this.#subscribers) run(this.#all);
  }
}
