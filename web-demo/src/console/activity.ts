/**
 * The audit trail of a stream: what was done and by whom, and what was sold, the newest first. It is the ledger's, so it is the
 * same in every console and after every reload; what failed here is in it too. It never grows beyond its capacity.
 */
import type { Live } from '../lib/live';
import { nameOf } from '../lib/names';
import type { ChatMessage, ChatMode, CommandError, Money, Person, Product } from '../lib/wire';
import type { Ledger, LedgerRecord } from './ledger';

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
  | 'pollOpened'
  | 'pollClosed'
  | 'muted'
  | 'banned'
  | 'unbanned'
  | 'unmuted'
  | 'held'
  | 'approved'
  | 'rejected'
  | 'words'
  | 'answered'
  | 'questionHidden'
  | 'failed'
  | 'claimed'
  | 'confirmed'
  | 'returned'
  | 'won';

export interface Entry {
  key: string;
  /** Server clock, milliseconds. */
  at: number;
  what: What;
  /** What it was about, as people wrote it. */
  about: string;
  /** Who did it; empty where the server did it by itself. */
  by: string;
  sold?: number;
  /** What was paid in all. */
  money?: Money;
  /** The user that a sanction hits as long as it holds: it can be lifted here. */
  user?: string;
  /** Server clock, milliseconds; null: until it is lifted. */
  until?: number | null;
  /** How the chat is from then on. */
  mode?: ChatMode;
  error?: CommandError;
}

export interface Trail {
  /** What the staff did, and what failed. */
  done: readonly Entry[];
  /** What was claimed and won. */
  sales: readonly Entry[];
}

/** Of each kind of entry. */
const capacity = 300;
/** Of the names and texts that later records only name by id. */
const remembered = 5000;

type Told = Partial<Entry> & { what: What };

interface Data {
  state?: { title: string };
  message?: string | ChatMessage | null;
  text?: string;
  id?: string;
  products?: Product[];
  product?: Product | string | null;
  drop?: string | { id: string; product: string };
  wheel?: string | { id: string; title: string };
  poll?: string | { id: string; question: string };
  question?: { id: string; text?: string; status: string };
  user?: string | Person;
  name?: string;
  until?: number | null;
  slowSeconds?: number;
  membersOnly?: boolean;
  paused?: boolean;
  reason?: string | null;
  words?: string[];
  sold?: number;
  quantity?: number;
  price?: Money;
  prize?: { label: string } | null;
}

const idOf = (thing: string | { id: string } | null | undefined) => (typeof thing === 'object' ? thing?.id : thing) ?? '';
const list = (texts: readonly string[]) => texts.join(', ');

/** Remembers the newest of what it was told. */
class Names {
  #all = new Map<string, string>();
  of = (id: string) => this.#all.get(id) ?? '';
  put(id: string, name: string): void {
    this.#all.delete(id);
    this.#all.set(id, name);
    for (const oldest of this.#all.keys()) {
      if (this.#all.size <= remembered) break;
      this.#all.delete(oldest);
    }
  }
}

export class Activity {
  #trail: Trail = { done: [], sales: [] };
  #failures = 0;
  #subscribers = new Set<(trail: Trail) => void>();
  readonly #people = new Names();
  readonly #texts = new Names();
  readonly #things = new Names();
  #products: readonly Product[] = [];
  /** By user and kind: the newest sanction, until it is lifted. */
  #sanctions = new Map<string, Entry>();

  constructor(
    ledger: Pick<Ledger, 'listen'>,
    private readonly live: Pick<Live, 'state'>,
  ) {
    ledger.listen((records) => this.#take(records));
  }

  /** Store contract: calls `run` now and after every change. */
  subscribe(run: (trail: Trail) => void): () => void {
    this.#subscribers.add(run);
    run(this.#trail);
    return () => this.#subscribers.delete(run);
  }

  /** A command of this console that the server refused: no ledger has it. */
  failed(command: string, error: CommandError): void {
    const at = Date.now() + this.live.state.clockSkew;
    this.#add([{ key: `failed ${this.#failures++}`, at, what: 'failed', about: command, by: '', error }], []);
  }

  #take(records: readonly LedgerRecord[]): void {
    const done: Entry[] = [];
    const sales: Entry[] = [];
    for (const record of records) {
      const { id, at, kind, by } = record;
      if (by) this.#people.put(by.id, nameOf(by));
      const told = this.#told(record, record.data as Data);
      if (!told) continue;
      const entry = { key: id, at, about: '', by: by ? nameOf(by) : '', ...told };
      const isSale = kind === 'claim' || kind === 'spin' || entry.what === 'confirmed' || entry.what === 'returned';
      (isSale ? sales : done).push(entry);
      if (kind.startsWith('user:')) this.#sanction(kind, entry, idOf((record.data as Data).user));
    }
    if (done.length || sales.length) this.#add(done.reverse(), sales.reverse());
  }

  #add(done: Entry[], sales: Entry[]): void {
    this.#trail = {
      done: [...done, ...this.#trail.done].slice(0, capacity),
      sales: [...sales, ...this.#trail.sales].slice(0, capacity),
    };
    for (const run of this.#subscribers) run(this.#trail);
  }

  /** The newest of its kind can be taken back, and it alone. */
  #sanction(kind: string, entry: Entry, user: string): void {
    const key = `${kind.replace('user:un', 'user:')} ${user}`;
    const before = this.#sanctions.get(key);
    if (before) delete before.user;
    this.#sanctions.delete(key);
    if (kind !== 'user:mute' && kind !== 'user:ban') return;
    entry.user = user;
    this.#sanctions.set(key, entry);
  }

  /** What the record says; nothing where it is none for a log. */
  #told({ kind, by }: LedgerRecord, data: Data): Told | null {
    switch (kind) {
      case 'stream:started':
        return { what: 'started', about: data.state?.title };
      case 'stream:updated':
        return { what: 'updated', about: data.state?.title };
      case 'stream:ended':
        return { what: 'ended', about: data.state?.title };
      case 'chat:message':
        this.#texts.put(data.id ?? '', `${by ? nameOf(by) : ''}: ${data.text ?? ''}`);
        return null;
      case 'chat:held':
        if (typeof data.message !== 'object' || !data.message) return null;
        this.#texts.put(data.message.id, `${nameOf(data.message.user)}: ${data.message.text}`);
        return { what: 'held', about: data.message.text };
      case 'chat:deleted':
        return { what: 'deleted', about: this.#texts.of(idOf(data.message)) };
      case 'chat:approve':
        return { what: 'approved', about: this.#texts.of(idOf(data.message)) };
      case 'chat:reject':
        return { what: 'rejected', about: this.#texts.of(idOf(data.message)) };
      case 'chat:pinned':
        return data.message ? { what: 'pinned', about: (data.message as ChatMessage).text } : { what: 'unpinned' };
      case 'chat:mode':
        return { what: 'mode', mode: { slowSeconds: data.slowSeconds, membersOnly: data.membersOnly, paused: data.paused } };
      case 'words:set':
        return { what: 'words', about: list(data.words ?? []) };
      case 'notice':
        return { what: 'notice', about: data.text };
      case 'products':
        return { what: 'products', about: this.#changed(data.products ?? []) };
      case 'product:pinned':
        return data.product ? { what: 'shown', about: this.#title(data.product) } : { what: 'hidden' };
      case 'user:mute':
      case 'user:ban': {
        const about = list([this.#person(data), data.reason ?? ''].filter(Boolean));
        return { what: kind === 'user:mute' ? 'muted' : 'banned', about, until: data.until };
      }
      case 'user:unmute':
        return { what: 'unmuted', about: this.#person(data) };
      case 'user:unban':
        return { what: 'unbanned', about: this.#person(data) };
      case 'question:updated': {
        const { id = '', text = '', status } = data.question ?? {};
        if (text) this.#texts.put(id, text);
        if (status === 'hidden') return { what: 'questionHidden', about: this.#texts.of(id) };
        return status === 'answered' ? { what: 'answered', about: text } : null;
      }
      default:
        return this.#offered(kind, data);
    }
  }

  /** What is sold, won and voted on. */
  #offered(kind: string, data: Data): Told | null {
    const named = (thing: { id: string } | string | undefined, name: string | undefined) => {
      if (name) this.#things.put(idOf(thing), name);
      return name || this.#things.of(idOf(thing)) || idOf(thing);
    };
    const { drop, wheel, poll } = data;
    switch (kind) {
      case 'drop:opened':
        return { what: 'dropOpened', about: named(drop, typeof drop === 'object' ? this.#title(drop.product) : '') };
      case 'drop:closed':
        return { what: 'dropClosed', about: named(drop, ''), sold: data.sold };
      case 'wheel:opened':
        return { what: 'wheelOpened', about: named(wheel, typeof wheel === 'object' ? wheel.title : '') };
      case 'wheel:closed':
        return { what: 'wheelClosed', about: named(wheel, '') };
      case 'poll:opened':
        return { what: 'pollOpened', about: named(poll, typeof poll === 'object' ? poll.question : '') };
      case 'poll:closed':
        return { what: 'pollClosed', about: named(poll, '') };
      case 'claim':
        return this.#sale('claimed', data);
      case 'confirm':
        return this.#sale('confirmed', data);
      case 'release':
      case 'expire':
        return this.#sale('returned', data);
      case 'spin':
        return data.prize ? { what: 'won', about: data.prize.label } : null;
      default:
        return null;
    }
  }

  #sale(what: What, { product, quantity = 1, price, user }: Data): Told {
    const title = this.#title(product ?? '');
    const about = quantity > 1 ? `${quantity} × ${title}` : title;
    const money = price && { ...price, amount: price.amount * quantity };
    return { what, about, money, by: typeof user === 'object' ? nameOf(user) : '' };
  }

  #person({ user }: Data): string {
    const id = idOf(user);
    return this.#people.of(id) || id;
  }

  #title(product: Product | string): string {
    if (typeof product === 'object') return product.title;
    const known = this.live.state.stream?.products.find(({ id }) => id === product);
    return this.#things.of(`product ${product}`) || (known?.title ?? product);
  }

  /** The products that came, went or changed. */
  #changed(products: readonly Product[]): string {
    for (const { id, title } of products) this.#things.put(`product ${id}`, title);
    const [was, is] = [this.#products, products].map((all) => new Set(all.map((one) => JSON.stringify(one))));
    const other = [...products, ...this.#products].filter((one) => {
      const text = JSON.stringify(one);
      return !(was?.has(text) && is?.has(text));
    });
    this.#products = products;
    return list([...new Set(other.map(({ title }) => title))]);
  }
}
