/**
 * The stream's ledger, read over HTTP: what the server wrote down, whoever did it and whether or not this page was there. Each
 * record is handed on once, in order. It reads when something happens, and every few seconds for what is told to nobody.
 */
import type { EventName } from '../lib/events';
import type { Live, LiveState } from '../lib/live';
import type { Person } from '../lib/wire';

export interface LedgerRecord {
  /** Rises from one to the next. */
  id: string;
  /** Server clock, milliseconds. */
  at: number;
  kind: string;
  /** Null where the server did it by itself. */
  by: Person | null;
  data: Record<string, unknown>;
}

interface Page {
  records: LedgerRecord[];
  next: string | null;
}

/** Asks for an address, as somebody. A promise that fails is a server that cannot be reached. */
export type Get = (path: string, token: string) => Promise<{ status: number; body: unknown }>;

const get: Get = async (path, token) => {
  const response = await fetch(path, { headers: { Authorization: `Bearer ${token}` } });
  return { status: response.status, body: await response.json().catch(() => null) };
};

const pageRecords = 500;
/** The show, and what was prepared for it. */
const reachMs = 12 * 3_600_000;
const everyMs = 5000;
/** What happens together is read together. */
const soonMs = 150;
const retryMs = 2000;

/** Events whose record is already there when they arrive. */
const telling: EventName[] = [
  'stream:started',
  'stream:updated',
  'stream:ended',
  'chat:deleted',
  'chat:pinned',
  'chat:mode',
  'notice',
  'products',
  'product:pinned',
  'drop:opened',
  'drop:closed',
  'drop:stock',
  'wheel:opened',
  'wheel:closed',
  'wheel:won',
  'poll:opened',
  'poll:closed',
  'question:updated',
  'purchase',
];

/** Without a stream there is no ledger; who is not let in need not ask. It is read on when that changes. */
const isThere = ({ stream, phase }: LiveState) => stream !== null && ['waiting', 'live', 'ended'].includes(phase);

export class Ledger {
  #after: string | null = null;
  #readers: ((records: readonly LedgerRecord[]) => void)[] = [];
  #subscribers = new Set<(isAway: boolean) => void>();
  #isAway = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #due = Infinity;
  #isReading = false;

  constructor(
    private readonly live: Pick<Live, 'on' | 'state' | 'streamId' | 'subscribe' | 'token'>,
    private readonly ask: Get = get,
  ) {
    for (const event of telling) live.on(event, () => this.soon());
    let wasThere = false;
    live.subscribe((state) => {
      const is = isThere(state);
      if (is && !wasThere) this.soon();
      wasThere = is;
    });
  }

  /** Hands every record to `read`, some at a time, from now on. */
  listen(read: (records: readonly LedgerRecord[]) => void): void {
    this.#readers.push(read);
  }

  /** Store contract: calls `run` now and after every change with whether the ledger cannot be read right now. */
  subscribe(run: (isAway: boolean) => void): () => void {
    this.#subscribers.add(run);
    run(this.#isAway);
    return () => this.#subscribers.delete(run);
  }

  /** Something has happened. */
  soon(): void {
    this.#in(soonMs);
  }

  /** All that it holds of this show, from the first record on: for those who came after the others had listened. */
  async *whole(): AsyncGenerator<LedgerRecord> {
    for (let after: string | null = this.#start(); after !== null; ) {
      const page: Page = await this.#page(after);
      yield* page.records;
      after = page.records.length < pageRecords ? null : page.next;
    }
  }

  #in(ms: number): void {
    const due = Date.now() + ms;
    if (this.#isReading || due >= this.#due) return void (this.#due = Math.min(this.#due, due));
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(() => void this.#read(), ms);
  }

  async #read(): Promise<void> {
    this.#due = Infinity;
    // Viewers may not read it.
    if (!isThere(this.live.state) || !this.live.token || this.live.state.me?.role === 'viewer') return;
    this.#isReading = true;
    let next = everyMs;
    try {
      const { records, next: after } = await this.#page((this.#after ??= this.#start()));
      if (after) this.#after = after;
      if (records.length) for (const read of this.#readers) read(records);
      if (records.length === pageRecords) next = 0;
      this.#tell(false);
    } catch {
      this.#tell(true);
      next = retryMs;
    }
    this.#isReading = false;
    const due = this.#due;
    this.#due = Infinity;
    this.#in(Math.min(next, Math.max(0, due - Date.now())));
  }

  async #page(after: string): Promise<Page> {
    const path = `./v1/streams/${this.live.streamId}/ledger?limit=${pageRecords}&after=${after}`;
    const { status, body } = await this.ask(path, this.live.token ?? '');
    const page = body as Partial<Page> | null;
    if (status !== 200 || !Array.isArray(page?.records)) throw new Error(`the ledger answered ${status}`);
    return { records: page.records, next: page.next ?? null };
  }

  /** Places in the ledger are times of the server's clock. */
  #start(): string {
    const { startedAt, now = Date.now() } = this.live.state.stream ?? {};
    return `${Math.max(0, Math.floor((startedAt ?? now) - reachMs))}-0`;
  }

  #tell(isAway: boolean): void {
    if (isAway === this.#isAway) return;
    this.#isAway = isAway;
    for (const run of this.#subscribers) run(isAway);
  }
}
