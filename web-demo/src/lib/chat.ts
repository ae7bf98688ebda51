/**
 * The ordered list of a stream's chat: what the server confirmed, what is still on its way, and where something is missing.
 * Confirmed messages are keyed by id and ordered by the stream's `seq`; nothing appears twice, however often it arrives.
 * It never talks to the network and never grows beyond its capacity.
 */
import type { ChatMessage, CommandError } from './wire';

export type SendState = 'sending' | 'waiting' | 'held' | 'failed';

/** A message of this page's user that the server has not confirmed yet. */
export interface Draft {
  clientId: string;
  text: string;
  /** Id of the message that it answers. */
  replyTo?: string;
  /** Local clock, milliseconds. */
  writtenAt: number;
  state: SendState;
  error?: CommandError;
}

/** A stretch of the stream that this page does not hold. */
export interface Hole {
  /** `seq` of the newest message before it. */
  after: number;
  /** `seq` of the oldest message behind it. */
  before: number;
  /** The server does not have it any more. */
  lost: boolean;
}

export type Row =
  | { kind: 'message'; key: string; message: ChatMessage; own: boolean; deleted: boolean }
  | { kind: 'draft'; key: string; draft: Draft }
  | { kind: 'hole'; key: string; hole: Hole };

export interface ChatView {
  rows: readonly Row[];
  /** The server may have messages older than the first row. */
  moreAbove: boolean;
  /** Messages confirmed so far, ever; the difference of two views says how many are new. */
  total: number;
  /** Drafts opened so far, ever. */
  written: number;
}

interface Entry {
  message: ChatMessage;
  era: number;
  key: string;
  deleted: boolean;
  /** As it was shown last; undefined when it has changed since. A row that stays the same object costs the page nothing. */
  row?: Row;
}

const isBefore = (a: Entry, b: Entry) => a.era < b.era || (a.era === b.era && a.message.seq < b.message.seq);

/** More holes than this, and the oldest is forgotten. */
const maxHoles = 8;

export interface ChatOptions {
  /** Most confirmed messages kept; default 1000. */
  capacity?: number;
  /** Most drafts kept; default 20. */
  draftCapacity?: number;
  /** Calls the function soon, once for many changes; default: the next microtask. */
  schedule?: (run: () => void) => void;
}

export class ChatList {
  #me = '';
  #entries: Entry[] = [];
  #byId = new Map<string, Entry>();
  #drafts = new Map<string, Draft>();
  /** Draft that a broadcast seems to have confirmed before its acknowledgement came. */
  #shadows = new Map<string, string>();
  #deletedEarly = new Set<string>();
  /** Oldest first. */
  #holes: (Hole & { era: number })[] = [];
  #era = 0;
  #moreAbove = false;
  #total = 0;
  #written = 0;
  #subscribers = new Set<(view: ChatView) => void>();
  #scheduled = false;
  readonly #capacity: number;
  readonly #draftCapacity: number;
  readonly #schedule: (run: () => void) => void;

  constructor(options: ChatOptions = {}) {
    this.#capacity = options.capacity ?? 1000;
    this.#draftCapacity = options.draftCapacity ?? 20;
    this.#schedule = options.schedule ?? queueMicrotask;
  }

  /** Id of this page's user; own messages are marked. */
  set me(id: string) {
    if (id === this.#me) return;
    this.#me = id;
    for (const entry of this.#entries) entry.row = undefined;
  }

  /** Store contract: calls `run` now and after every change. */
  subscribe(run: (view: ChatView) => void): () => void {
    this.#subscribers.add(run);
    run(this.view());
    return () => this.#subscribers.delete(run);
  }

  /** The rows as they are now: confirmed ones in order, then drafts in the order they were written. */
  view(): ChatView {
    const rows: Row[] = [];
    for (const entry of this.#entries) {
      const hole = this.#holes.find((hole) => entry.era === hole.era && entry.message.seq === hole.before);
      if (hole) rows.push({ kind: 'hole', key: `hole-${hole.era}-${hole.after}`, hole: { ...hole } });
      const { key, message, deleted } = entry;
      rows.push((entry.row ??= { kind: 'message', key, message, own: message.user.id === this.#me, deleted }));
    }
    for (const draft of this.#drafts.values()) {
      if (!this.#shadows.has(draft.clientId)) rows.push({ kind: 'draft', key: draft.clientId, draft });
    }
    return { rows, moreAbove: this.#moreAbove, total: this.#total, written: this.#written };
  }

  /** `seq` of the newest confirmed message of this epoch, if there is one. */
  get newestSeq(): number | null {
    const last = this.#entries.at(-1);
    return last && last.era === this.#era ? last.message.seq : null;
  }

  /** `seq` of the oldest confirmed message, if it belongs to this epoch. */
  get oldestSeq(): number | null {
    const first = this.#entries[0];
    return first && first.era === this.#era ? first.message.seq : null;
  }

  /** Confirmed messages so far, ever. */
  get total(): number {
    return this.#total;
  }

  /** The newest hole that can still be filled. */
  get hole(): Hole | null {
    return this.#holes.findLast((hole) => !hole.lost && hole.era === this.#era) ?? null;
  }

  /** Takes a message of the live feed. False when it was known already. */
  add(message: ChatMessage): boolean {
    const added = this.#insert(message);
    if (added) this.#changed();
    return added;
  }

  /**
   * Takes the history of a join, oldest first, asked for with `limit`. Where it does not reach back to what is known, a hole is left.
   * Answers how many messages were new.
   */
  merge(history: readonly ChatMessage[], limit: number): number {
    const known = this.newestSeq;
    const wasEmpty = this.#entries.length === 0;
    let added = 0;
    for (const message of history) if (this.#insert(message)) added++;
    const oldest = history[0];
    if (wasEmpty) this.#moreAbove = history.length >= limit;
    if (known !== null && oldest && oldest.seq > known + 1) {
      // Known messages that a short page does not hold any more were trimmed, and with them what lay between.
      this.#holes.push({ after: known, before: oldest.seq, lost: history.length < limit, era: this.#era });
      if (this.#holes.length > maxHoles) this.#holes.shift();
    }
    this.#notify();
    return added;
  }

  /** Takes a page of history from just before the hole that begins `after`, asked for with `limit`. Answers how many messages were new. */
  fill(after: number, page: readonly ChatMessage[], limit: number): number {
    const hole = this.#holes.find((hole) => hole.era === this.#era && hole.after === after);
    if (!hole) return 0;
    let added = 0;
    for (const message of page) {
      hole.before = Math.min(hole.before, message.seq);
      if (message.seq > after && this.#insert(message)) added++;
    }
    if (hole.before <= after + 1) this.#holes.splice(this.#holes.indexOf(hole), 1);
    else hole.lost = page.length < limit;
    this.#notify();
    return added;
  }

  /** Takes a page of history older than the first row, asked for with `limit`. */
  prepend(page: readonly ChatMessage[], limit: number): void {
    const room = this.#capacity - this.#entries.length;
    // Newest first, so that what does not fit any more is the far end and no gap appears.
    for (const message of page.slice(Math.max(0, page.length - room))) this.#insert(message);
    this.#moreAbove = page.length >= limit && this.#entries.length < this.#capacity;
    this.#notify();
  }

  /** Blanks the text of a message that was deleted; remembers the id if the message has not come yet. */
  remove(id: string): void {
    const entry = this.#byId.get(id);
    if (entry) {
      entry.deleted = true;
      entry.message = { ...entry.message, text: '' };
      entry.row = undefined;
      this.#changed();
    } else if (this.#deletedEarly.size < 200) {
      this.#deletedEarly.add(id);
    }
  }

  /** The stream's numbering began anew: later messages sort behind everything known, whatever their `seq`. */
  startEra(): void {
    this.#era++;
    this.#moreAbove = false;
    this.#changed();
  }

  /** Opens a draft. Null when too many are open. */
  addDraft(clientId: string, text: string, now: number, replyTo?: string): Draft | null {
    if (this.#drafts.size >= this.#draftCapacity) return null;
    const draft: Draft = { clientId, text, writtenAt: now, state: 'waiting', ...(replyTo && { replyTo }) };
    this.#drafts.set(clientId, draft);
    this.#written++;
    this.#changed();
    return draft;
  }

  drafts(): Draft[] {
    return [...this.#drafts.values()];
  }

  /** Changes a draft's state; a failed one shows again even if a broadcast had seemed to confirm it. */
  markDraft(clientId: string, state: SendState, error?: CommandError): void {
    const draft = this.#drafts.get(clientId);
    if (!draft) return;
    if (state === 'failed') this.#unshadow(clientId);
    this.#drafts.set(clientId, { ...draft, state, error });
    this.#changed();
  }

  dropDraft(clientId: string): void {
    this.#unshadow(clientId);
    if (this.#drafts.delete(clientId)) this.#changed();
  }

  /** The server acknowledged a draft with the message it made of it. */
  confirmDraft(clientId: string, message: ChatMessage): void {
    this.#drafts.delete(clientId);
    if (this.#shadows.get(clientId) === message.id) this.#shadows.delete(clientId);
    else this.#unshadow(clientId);
    // The row keeps the draft's key, so that it does not blink when it turns from draft into message.
    this.#insert(message, clientId);
    this.#changed();
  }

  #insert(message: ChatMessage, key?: string): boolean {
    const known = this.#byId.get(message.id);
    if (known) {
      if (known.era === this.#era) return false;
      this.#entries.splice(this.#entries.indexOf(known), 1);
    }
    const shadowed = key ?? this.#shadow(message);
    const deleted = (known?.deleted ?? false) || this.#deletedEarly.delete(message.id);
    const kept = deleted ? { ...message, text: '' } : message;
    const entry: Entry = { message: kept, era: this.#era, key: known?.key ?? shadowed ?? message.id, deleted };
    let at = this.#entries.length;
    while (at > 0 && isBefore(entry, this.#entries[at - 1] as Entry)) at--;
    this.#entries.splice(at, 0, entry);
    this.#byId.set(message.id, entry);
    if (!known) this.#total++;
    this.#trim();
    return !known;
  }

  /**
   * A broadcast of the own message may overtake its acknowledgement and does not say which draft it answers:
   * the oldest one with that text hides until the acknowledgement tells for certain.
   */
  #shadow(message: ChatMessage): string | undefined {
    if (message.user.id !== this.#me) return undefined;
    for (const draft of this.#drafts.values()) {
      if (draft.state === 'failed' || draft.text !== message.text || this.#shadows.has(draft.clientId)) continue;
      // A held one has its acknowledgement behind it: this is its approval.
      if (draft.state === 'held') this.#drafts.delete(draft.clientId);
      else this.#shadows.set(draft.clientId, message.id);
      return draft.clientId;
    }
    return undefined;
  }

  /** The broadcast was another one with the same text, from another page of this user: it gives the draft's key back. */
  #unshadow(clientId: string): void {
    const entry = this.#byId.get(this.#shadows.get(clientId) ?? '');
    if (entry) {
      entry.key = entry.message.id;
      entry.row = undefined;
    }
    this.#shadows.delete(clientId);
  }

  #trim(): void {
    while (this.#entries.length > this.#capacity) {
      const gone = this.#entries.shift() as Entry;
      this.#byId.delete(gone.message.id);
      this.#moreAbove = gone.era === this.#era;
      this.#holes = this.#holes.filter((hole) => hole.era !== gone.era || gone.message.seq < hole.before);
    }
  }

  #changed(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#schedule(() => {
      this.#scheduled = false;
      this.#notify();
    });
  }

  #notify(): void {
    const view = this.view();
    for (const run of this.#subscribers) run(view);
  }
}
