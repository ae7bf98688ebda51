/**
 * Sends chat so that nothing is lost or doubled: one message at a time, in the order written, each under one `clientId`
 * through all its attempts. It never sends under a `clientId` that the server may have forgotten, unless the user asks.
 */
import type { ChatList, Draft } from './chat';
import type { ChatMessage, CommandError, Reply } from './wire';
import { maxTextScalars } from './wire';

export type SendReply = Reply<{ message?: ChatMessage; held?: boolean }>;
/** Sends one message; answers null when no reply came: the outcome is not known. */
export type Deliver = (draft: Draft, done: (reply: SendReply | null) => void) => void;

/** The server keeps a `clientId` for 5 minutes; later a repeat could appear twice. */
const repeatSafeMs = 270_000;
/** Longest wait the server may ask for before a draft counts as failed: long enough for slow mode. */
const maxWaitMs = 120_000;
const maxAttempts = 4;
/** The outcome is not known, or would be another one later. */
const passing = new Set(['unavailable', 'internal', 'not_joined', 'conflict']);
const throttled = new Set(['rate_limited', 'slow_mode']);
/** Trying the same words again cannot help. */
const final = new Set(['rejected', 'too_large', 'bad_request', 'ended', 'banned', 'unauthorized', 'forbidden']);

export const canRetry = (error?: CommandError) => !error || !final.has(error.code);

/** A random id; also where `crypto.randomUUID` is missing, as on plain HTTP. */
export function newClientId(): string {
  if (typeof crypto.randomUUID === 'function') return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export type SendRefusal = 'empty' | 'too_long' | 'too_many';

export class Outbox {
  #ready = false;
  #busy = false;
  #attempts = new Map<string, number>();
  #asked = new Set<string>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #round = 0;

  /** `cooling` hears the local time (ms) until which the server wants quiet; 0 when that is over. */
  constructor(
    private readonly chat: ChatList,
    private readonly deliver: Deliver,
    private readonly cooling: (until: number, code: string) => void,
    private readonly rejoin: () => void = () => {},
  ) {}

  /** Takes a text to send, now or when the connection is there. Answers why not, if it cannot. */
  push(text: string, replyTo?: string): SendRefusal | null {
    const trimmed = text.trim();
    if (!trimmed) return 'empty';
    if ([...trimmed].length > maxTextScalars) return 'too_long';
    if (!this.chat.addDraft(newClientId(), trimmed, Date.now(), replyTo)) return 'too_many';
    this.#pump();
    return null;
  }

  /** The user asks for another attempt at a failed draft. */
  retry(clientId: string): void {
    this.#attempts.delete(clientId);
    this.#asked.add(clientId);
    this.chat.markDraft(clientId, 'waiting');
    this.#pump();
  }

  discard(clientId: string): void {
    this.#forget(clientId);
    this.chat.dropDraft(clientId);
  }

  /** The stream is joined: send what waits. */
  start(): void {
    this.#ready = true;
    this.#pump();
  }

  /** The connection is gone: what was on its way waits for the next one, under the same id. */
  stop(): void {
    this.#ready = false;
    this.#busy = false;
    this.#round++;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#attempts.clear();
    for (const draft of this.chat.drafts()) if (draft.state === 'sending') this.chat.markDraft(draft.clientId, 'waiting');
  }

  #pump(): void {
    if (!this.#ready || this.#busy || this.#timer !== undefined) return;
    const draft = this.chat.drafts().find((draft) => draft.state === 'waiting');
    if (!draft) return;
    const attempt = (this.#attempts.get(draft.clientId) ?? 0) + 1;
    if (Date.now() - draft.writtenAt > repeatSafeMs && !this.#asked.has(draft.clientId)) {
      this.chat.markDraft(draft.clientId, 'failed', { code: 'stale', message: 'too old to repeat safely' });
      return this.#pump();
    }
    this.#attempts.set(draft.clientId, attempt);
    this.chat.markDraft(draft.clientId, 'sending');
    this.#busy = true;
    const round = this.#round;
    this.deliver(draft, (reply) => {
      if (round !== this.#round) return;
      this.#busy = false;
      this.#settle(draft.clientId, attempt, reply);
      this.#pump();
    });
  }

  #settle(clientId: string, attempt: number, reply: SendReply | null): void {
    if (reply?.ok) {
      this.#forget(clientId);
      if (reply.message) this.chat.confirmDraft(clientId, reply.message);
      else if (reply.held) this.chat.markDraft(clientId, 'held');
      else this.chat.dropDraft(clientId);
      return;
    }
    const error = reply?.error ?? { code: 'unavailable', message: 'no answer' };
    const waitMs = error.retryAfterMs ?? 1000;
    if (throttled.has(error.code) && waitMs <= maxWaitMs) {
      this.chat.markDraft(clientId, 'waiting', error);
      this.cooling(Date.now() + waitMs, error.code);
      this.#later(waitMs);
    } else if (passing.has(error.code) && attempt < maxAttempts) {
      this.chat.markDraft(clientId, 'waiting', error);
      if (error.code === 'not_joined') this.rejoin();
      this.#later(Math.min(error.retryAfterMs ?? 500 * 2 ** attempt, maxWaitMs));
    } else {
      this.#attempts.delete(clientId);
      this.chat.markDraft(clientId, 'failed', error);
    }
  }

  #forget(clientId: string): void {
    this.#attempts.delete(clientId);
    this.#asked.delete(clientId);
  }

  #later(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.cooling(0, '');
      this.#pump();
    }, ms);
  }
}
