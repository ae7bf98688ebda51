/**
 * Counts taps of reactions and sends them together, a few times a second at most: a thumb is faster than a command should be.
 * What cannot be sent is dropped, never kept for later: a heart that comes a minute late says nothing.
 */
import type { CommandError, Reply } from './wire';
import { maxReactions } from './wire';

export type SendTaps = (kind: string, count: number, done: (reply: Reply<{ accepted: number }> | null) => void) => void;

const everyMs = 400;

export class Taps {
  #waiting = new Map<string, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #restUntil = 0;

  /** `failed` hears why reactions do not get through. */
  constructor(
    private readonly send: SendTaps,
    private readonly failed: (error: CommandError) => void = () => {},
  ) {}

  /** False when the server wants quiet: the tap does not count. */
  tap(kind: string): boolean {
    if (Date.now() < this.#restUntil) return false;
    this.#waiting.set(kind, Math.min((this.#waiting.get(kind) ?? 0) + 1, maxReactions));
    this.#timer ??= setTimeout(() => this.#flush(), everyMs);
    return true;
  }

  /** The connection is gone. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#waiting.clear();
  }

  #flush(): void {
    this.#timer = undefined;
    const taps = [...this.#waiting];
    this.#waiting.clear();
    for (const [kind, count] of taps) {
      this.send(kind, count, (reply) => {
        if (!reply || reply.ok) return;
        if (reply.error.code === 'rate_limited')
          this.#restUntil = Date.now() + Math.min(reply.error.retryAfterMs ?? 1000, 10_000);
        else this.failed(reply.error);
      });
    }
  }
}
