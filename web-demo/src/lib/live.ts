/**
 * One connection to one live stream: typed commands, typed events, and a state that a page can show as it is.
 * It brings the stream back after every interruption and hands the chat what was missed. It never touches the page.
 */
import { Attempts } from './attempts';
import { ChatList } from './chat';
import type { Claim, CommandName, Commands, ReplyTo, Spin } from './commands';
import type { EventName, Events } from './events';
import { applied, complete, stateEvents } from './feed';
import { Outbox, type SendRefusal } from './outbox';
import { type LiveSocket, openSocket } from './socket';
import { Taps } from './taps';
import { Votes } from './votes';
import type { CommandError, Person, Reply, StreamState } from './wire';
import { expiryGraceMs, maxHistory } from './wire';

/**
 * connecting: first attempt · waiting: connected, the stream does not exist or has not started · live · ended ·
 * reconnecting: was there, lost the connection · expired: the token ran out and the server let go · refused · banned
 */
export type Phase = 'connecting' | 'waiting' | 'live' | 'ended' | 'reconnecting' | 'expired' | 'refused' | 'banned';

/** What a moderator has done to this user. */
export interface Sanction {
  /** Server clock, milliseconds; null: until it is lifted. */
  until: number | null;
  reason: string;
}

export interface LiveState {
  phase: Phase;
  /** The last known state of the stream; null before the first join and while the stream does not exist. */
  stream: StreamState | null;
  me: Person | null;
  /** Connected without a token: may read, not write. */
  guest: boolean;
  viewers: number;
  /** Missed messages that the last reconnection brought; null when that is no news any more. */
  caughtUp: number | null;
  /** Messages come late: the connection carries less than the show sends. */
  behind: boolean;
  /** Why the phase is `refused`. */
  refusal: CommandError | null;
  muted: Sanction | null;
  /** While the phase is `banned`. */
  banned: Sanction | null;
  /** Local time (ms) at which the server closes because the token expired; null while it is good. */
  closesAt: number | null;
  /** Local time (ms) until which chat must rest, and the error code that says why; 0 when it need not. */
  coolUntil: number;
  coolCode: string;
  /** The server announced that it moves its clients; the coming reconnection is planned. */
  moving: boolean;
  /** Server clock minus local clock, milliseconds. */
  clockSkew: number;
}

export interface LiveOptions {
  stream: string;
  token?: string;
  /** Default: the official client towards the page's own origin, WebSocket first. */
  open?: (auth: object) => LiveSocket;
  chat?: ChatList;
  /** 0 to 1; spreads retries. Default `Math.random`. */
  random?: () => number;
}

/** How long a command waits for its reply, milliseconds. */
const replyTimeoutMs = 5000;
const caughtUpMs = 5000;
/** So many messages in a row that come later than this after they were sent: a single one may have waited for approval. */
const lateMs = 5000;
const lateInRow = 3;
const firstHistory = 50;
const fillPage = 100;
const fillAtMost = 200;
/** Timers hold no more. */
const longestTimerMs = 2 ** 31 - 1;

const phaseOf = ({ status }: StreamState): Phase => (status === 'scheduled' ? 'waiting' : status);

export class Live {
  readonly chat: ChatList;
  readonly outbox: Outbox;
  /** By drop. */
  readonly claims: Attempts<{ claim: Claim; left: number }>;
  /** By wheel. */
  readonly spins: Attempts<{ spin: Spin; spinsLeft: number }>;
  readonly taps: Taps;
  /** By poll, and by question. */
  readonly votes = new Votes();
  readonly streamId: string;
  #state: LiveState;
  #token: string | undefined;
  readonly #socket: LiveSocket;
  readonly #random: () => number;
  #subscribers = new Set<(state: LiveState) => void>();
  #listeners = new Map<EventName, Set<(body: never) => void>>();
  #joined = false;
  #everJoined = false;
  /** Of the last join; the stream itself may be gone in between. */
  #epoch: StreamState['epoch'] | undefined;
  #lastSeq = -1;
  #missedFrom: number | null = null;
  #late = 0;
  #retries = 0;
  #stopped = false;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #newsTimer: ReturnType<typeof setTimeout> | undefined;
  #moveTimer: ReturnType<typeof setTimeout> | undefined;
  #numbersTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: LiveOptions) {
    this.streamId = options.stream;
    this.#token = options.token;
    this.#random = options.random ?? Math.random;
    this.chat = options.chat ?? new ChatList();
    this.#state = {
      phase: 'connecting',
      stream: null,
      me: null,
      guest: !options.token,
      viewers: 0,
      caughtUp: null,
      behind: false,
      refusal: null,
      muted: null,
      banned: null,
      closesAt: null,
      coolUntil: 0,
      coolCode: '',
      moving: false,
      clockSkew: 0,
    };
    this.outbox = new Outbox(
      this.chat,
      ({ text, clientId, replyTo }, done) =>
        this.#call('chat:send', { text, clientId, ...(replyTo && { replyTo }) }, (reply) => {
          this.#sawVerdict(reply);
          done(reply);
        }),
      (coolUntil, coolCode) => this.#set({ coolUntil, coolCode }),
      () => this.#join(),
    );
    this.claims = new Attempts((drop, requestId, done) =>
      this.#call('drop:claim', { drop, requestId }, (reply) => {
        if (reply?.ok) this.#apply('drop:stock', { stream: this.streamId, drop, left: reply.left });
        else if (reply?.error.code === 'sold_out') this.#apply('drop:stock', { stream: this.streamId, drop, left: 0 });
        done(reply);
      }),
    );
    this.spins = new Attempts((wheel, requestId, done) => this.#call('wheel:spin', { wheel, requestId }, done));
    this.taps = new Taps((kind, count, done) => {
      if (this.#joined) this.#call('reaction:send', { kind, count }, done);
    });
    this.#socket = (options.open ?? openSocket)(this.#auth());
    this.#listen();
  }

  get state(): LiveState {
    return this.#state;
  }

  /** What the connection was opened with. */
  get token(): string | undefined {
    return this.#token;
  }

  /** The server restored the session at the last connection. */
  get recovered(): boolean {
    return this.#socket.recovered === true;
  }

  /** Store contract: calls `run` now and after every change. */
  subscribe(run: (state: LiveState) => void): () => void {
    this.#subscribers.add(run);
    run(this.#state);
    return () => this.#subscribers.delete(run);
  }

  /** Calls `run` for every event of this stream that is new, once the state shows it. Answers how to stop that. */
  on<E extends EventName>(event: E, run: (body: Events[E]) => void): () => void {
    const all = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, all.add(run as (body: never) => void));
    return () => all.delete(run as (body: never) => void);
  }

  start(): void {
    this.#stopped = false;
    this.#socket.connect();
  }

  /** Leaves for good. */
  stop(): void {
    this.#stopped = true;
    this.#clearTimers();
    this.#rest();
    this.#socket.disconnect();
  }

  /** The network may be back: try now instead of at the end of the current delay. */
  nudge(): void {
    if (this.#stopped || this.#socket.connected || !this.#socket.active) return;
    this.#socket.disconnect();
    this.#socket.connect();
  }

  /** Starts over with what the user chose: the same token, another one, or none. */
  reconnectAs(token: string | undefined): void {
    this.#clearTimers();
    this.#token = token;
    this.#retries = 0;
    this.#socket.auth = this.#auth();
    this.#set({ phase: 'connecting', guest: !token, refusal: null, closesAt: null, muted: null, banned: null });
    this.#socket.disconnect();
    this.#socket.connect();
  }

  /** Takes a newer token of the same user without interrupting; another user's starts the connection over. */
  async refresh(token: string): Promise<void> {
    if (!this.#token || !this.#socket.connected) return this.reconnectAs(token);
    const reply = await this.command('auth:refresh', { token });
    if (!reply.ok) return this.reconnectAs(token);
    this.#token = token;
    this.#socket.auth = this.#auth();
    this.#set({ closesAt: null });
  }

  /** Sends a chat text, maybe as an answer. Answers why not, if it cannot even be queued. */
  send(text: string, replyTo?: string): SendRefusal | null {
    return this.outbox.push(text, replyTo);
  }

  /** Starts, changes or ends the stream, and shows the new state without waiting for the event. */
  async steer<C extends 'stream:start' | 'stream:update' | 'stream:end'>(
    name: C,
    body: Commands[C]['body'],
  ): Promise<Reply<ReplyTo<C>>> {
    const reply = await this.command(name, body);
    if (reply.ok && !this.#joined) this.#join();
    else if (reply.ok) this.#takeStream(reply.state);
    return reply;
  }

  /** Loads a page of messages older than the first row. */
  async loadEarlier(): Promise<void> {
    const before = this.chat.oldestSeq;
    if (before === null) return;
    const limit = firstHistory;
    const reply = await this.command('stream:history', { before, limit });
    if (reply.ok) this.chat.prepend(reply.messages, limit);
  }

  /** Loads up to 200 of the messages that are missing in the middle, the newest first. */
  async fillHole(): Promise<void> {
    for (let asked = 0; asked < fillAtMost; asked += fillPage) {
      const hole = this.chat.hole;
      if (!hole) return;
      const reply = await this.command('stream:history', { before: hole.before, limit: fillPage });
      if (!reply.ok) return;
      const added = this.chat.fill(hole.after, reply.messages, fillPage);
      if (added && this.#state.caughtUp !== null) this.#tellCaughtUp(this.#state.caughtUp + added);
    }
  }

  /** Sends any command about this stream. A missing reply is the error `unavailable`: the outcome is not known. */
  command<C extends CommandName>(name: C, body: Commands[C]['body']): Promise<Reply<ReplyTo<C>>> {
    return new Promise((resolve) => {
      const unknown = { ok: false as const, error: { code: 'unavailable', message: 'no answer' } };
      // Never through the official client's own buffer: it would go out before the stream is joined again.
      if (!this.#socket.connected) return resolve(unknown);
      this.#call(name, body, (reply) => resolve(reply ?? unknown));
    });
  }

  /** The callback runs while the reply is read, before any event behind it. */
  #call<C extends CommandName>(name: C, body: Commands[C]['body'], done: (reply: Reply<ReplyTo<C>> | null) => void): void {
    const whole = name === 'auth:refresh' ? body : { stream: this.streamId, ...body };
    this.#socket.timeout(replyTimeoutMs).emit(name, whole, (error, reply) => {
      const readable = !error && typeof reply === 'object' && reply !== null && 'ok' in reply;
      done(readable ? (reply as Reply<ReplyTo<C>>) : null);
    });
  }

  #listen(): void {
    const socket = this.#socket;
    socket.on('connect', () => this.#connected());
    socket.on('disconnect', (reason: string) => this.#disconnected(reason));
    socket.on('connect_error', (error: Error & { data?: CommandError }) => this.#connectFailed(error));
    this.#take('chat:message', (message) => {
      this.chat.add(message);
      this.#sawAge(message.at);
    });
    this.#take('chat:deleted', ({ message }) => this.chat.remove(message));
    this.#take('viewers', ({ count }) => this.#set({ viewers: count }));
    for (const event of stateEvents) this.#take(event);
    for (const event of ['wheel:won', 'purchase', 'chat:held'] as const) this.#take(event);
    this.#take('stream:reset', () => this.#join());
    this.#take('user:muted', (body) => this.#set({ muted: this.#sanction(body) }));
    this.#take('user:banned', (body) => this.#ban(this.#sanction(body)));
    this.#take('token:expired', () => this.#set({ closesAt: Date.now() + expiryGraceMs }));
    this.#take('server:draining', ({ reconnectWithinMs }) => this.#move(reconnectWithinMs));
  }

  /** Listens to an event: what is about this stream and new changes the state, then `run` and the page hear of it. */
  #take<E extends EventName>(event: E, run?: (body: Events[E]) => void): void {
    this.#socket.on(event, (body: Events[E]) => {
      const about = body as { stream?: string; seq?: number; state?: StreamState } | undefined;
      const stream = about?.stream ?? about?.state?.id;
      if (stream !== undefined && stream !== this.streamId) return;
      const isNew = this.#sawSeq(about?.seq ?? about?.state?.seq);
      // The list tells repeats apart by itself, and takes one that the join's number has overtaken.
      if (!isNew && event !== 'chat:message') return;
      if (about?.state) this.#takeStream(about.state, event);
      else this.#apply(event, body);
      run?.(body);
      this.#listeners.get(event)?.forEach((listen) => listen(body as never));
    });
  }

  #apply<E extends EventName>(event: E, body: Events[E]): void {
    const { stream, clockSkew } = this.#state;
    if (!stream) return;
    const next = applied(stream, event, body, Date.now() + clockSkew);
    if (next !== stream) this.#set({ stream: next });
  }

  /** False when an event of that number was seen before. */
  #sawSeq(seq: number | undefined): boolean {
    if (seq === undefined) return true;
    if (seq <= this.#lastSeq) return false;
    this.#lastSeq = seq;
    return true;
  }

  #connected(): void {
    this.#retries = 0;
    this.#set({ refusal: null, moving: false });
    // What was missed has arrived already: the official client hands it out before it tells of the connection.
    const wasThere = this.#everJoined && this.#state.stream && this.#state.phase !== 'banned';
    if (!this.#socket.recovered || !wasThere) return this.#join();
    this.#settled();
    this.#catchUpNumbers();
  }

  /**
   * Stock, tallies and counts are never replayed: after a recovery they are asked for. At once, if something is open that they
   * matter to; else not by everybody at the same time.
   */
  #catchUpNumbers(): void {
    const { drops = [], polls = [] } = this.#state.stream ?? {};
    const isOpen = [...drops, ...polls].some(({ status }) => status !== 'closed');
    clearTimeout(this.#numbersTimer);
    if (isOpen) this.#askNumbers();
    else this.#numbersTimer = setTimeout(() => this.#askNumbers(), this.#spread(4000));
  }

  #askNumbers(done?: (isAnswered: boolean) => void): void {
    this.#call('stream:join', { history: 0 }, (reply) => {
      if (reply?.ok && this.#epoch === reply.state.epoch) {
        this.#takeStream(reply.state);
        this.#set({ viewers: reply.state.viewers });
      }
      done?.(reply !== null);
    });
  }

  #sawAge(at: number): void {
    // What is replayed is old by itself.
    if (!this.#joined) return;
    this.#late = this.#serverNow() - at > lateMs ? this.#late + 1 : 0;
    if (this.#late !== lateInRow || this.#state.behind) return;
    this.#set({ behind: true });
    this.#soundOut();
  }

  /** The answer comes behind all that is on its way, and brings the right time. */
  #soundOut(): void {
    this.#askNumbers((isAnswered) => {
      if (!this.#state.behind) return;
      if (!isAnswered) return this.#soundOut();
      this.#late = 0;
      this.#set({ behind: false });
    });
  }

  #join(): void {
    clearTimeout(this.#retryTimer);
    if (!this.#socket.connected) return;
    const history = this.#everJoined ? maxHistory : firstHistory;
    this.#call('stream:join', { history }, (reply) => {
      if (reply?.ok) this.#joinedWith(reply, history);
      else this.#joinFailed(reply?.error ?? { code: 'unavailable', message: 'no answer' });
    });
  }

  #joinedWith(reply: ReplyTo<'stream:join'>, limit: number): void {
    if (this.#epoch !== undefined && this.#epoch !== reply.state.epoch) this.chat.startEra();
    this.#epoch = reply.state.epoch;
    this.chat.me = reply.me.id;
    this.chat.merge(reply.history, limit);
    this.#lastSeq = reply.state.seq;
    this.#takeStream(reply.state);
    this.#set({ me: reply.me, viewers: reply.state.viewers, banned: null });
    const mine = `${this.streamId} ${reply.me.id}`;
    this.claims.rememberAs(`haat.claims ${mine}`);
    this.spins.rememberAs(`haat.spins ${mine}`);
    this.votes.rememberAs(`haat.votes ${mine}`);
    this.#settled();
    if (this.chat.hole) void this.fillHole();
  }

  /** The stream is here again, with everything that was missed. */
  #settled(): void {
    this.#joined = true;
    this.#retries = 0;
    if (this.#everJoined && this.#missedFrom !== null) {
      this.#tellCaughtUp(this.chat.total - this.#missedFrom);
    }
    this.#everJoined = true;
    this.#missedFrom = null;
    const stream = this.#state.stream;
    if (stream) this.#set({ phase: phaseOf(stream) });
    this.outbox.start();
    this.claims.start();
    this.spins.start();
  }

  #joinFailed({ code, message, retryAfterMs }: CommandError): void {
    if (!this.#socket.connected) return;
    if (code === 'banned') return this.#ban({ until: retryAfterMs ? this.#serverNow() + retryAfterMs : null, reason: '' });
    if (code === 'unauthorized' || code === 'forbidden' || code === 'bad_request') {
      return this.#set({ phase: 'refused', refusal: { code, message } });
    }
    const isMissing = code === 'not_found';
    if (isMissing) this.#set({ phase: 'waiting', stream: null });
    this.#retryTimer = setTimeout(() => this.#join(), retryAfterMs ?? (isMissing ? this.#spread(4000) : this.#backoff()));
  }

  /** Shows a whole state: a reply's is of now; an event's may be a replay, whose clock and counts are of then. */
  #takeStream(state: StreamState, event?: EventName): void {
    const known = this.#state.stream;
    const stream = event && known ? applied(known, event, { state } as Events[typeof event], 0) : state;
    const skew = state.now - Date.now();
    // A delay only ever makes the server's clock look late.
    const clockSkew = event ? Math.max(skew, this.#state.clockSkew) : skew;
    this.#set({ stream: complete(stream), phase: phaseOf(state), clockSkew });
  }

  #serverNow(): number {
    return Date.now() + this.#state.clockSkew;
  }

  /** What the server said of this user; null when it is over. */
  #sanction({ until, reason }: { until?: number | null; reason?: string }): Sanction | null {
    if (typeof until === 'number' && until <= this.#serverNow()) return null;
    return { until: until ?? null, reason: reason ?? '' };
  }

  #ban(banned: Sanction | null): void {
    clearTimeout(this.#retryTimer);
    if (!banned) return this.#join();
    this.#rest();
    this.#set({ phase: 'banned', banned });
    if (banned.until === null) return;
    const wait = Math.min(banned.until - this.#serverNow() + 1000, longestTimerMs);
    this.#retryTimer = setTimeout(() => this.#join(), wait);
  }

  /** The answer to an own message says whether one is muted, too. */
  #sawVerdict(reply: Reply<unknown> | null): void {
    if (reply?.ok && this.#state.muted) this.#set({ muted: null });
    if (reply?.ok === false && reply.error.code === 'muted') {
      const { retryAfterMs } = reply.error;
      const until = retryAfterMs ? this.#serverNow() + retryAfterMs : (this.#state.muted?.until ?? null);
      this.#set({ muted: { until, reason: this.#state.muted?.reason ?? '' } });
    }
  }

  /** Nothing goes out until the stream is joined again. */
  #rest(): void {
    this.outbox.stop();
    this.claims.stop();
    this.spins.stop();
    this.taps.stop();
  }

  #disconnected(reason: string): void {
    this.#joined = false;
    this.#late = 0;
    this.#set({ behind: false });
    this.#rest();
    for (const timer of [this.#moveTimer, this.#numbersTimer]) clearTimeout(timer);
    // A second loss before everything is back still counts from the first.
    this.#missedFrom ??= this.chat.total;
    // The end of the ban is still waited for.
    if (this.#stopped || this.#state.phase === 'banned') return;
    clearTimeout(this.#retryTimer);
    if (reason === 'io client disconnect') return;
    const closedByServer = reason === 'io server disconnect';
    if (closedByServer && this.#state.closesAt !== null) return this.#set({ phase: 'expired', closesAt: null });
    if (this.#state.phase !== 'ended') this.#set({ phase: 'reconnecting', caughtUp: null });
    // The official client takes this reason as final.
    if (closedByServer) this.#retryTimer = setTimeout(() => this.#socket.connect(), this.#backoff());
  }

  #connectFailed(error: Error & { data?: CommandError }): void {
    // Still active: the network or the server is away, and the official client goes on trying.
    if (this.#socket.active || this.#stopped) return;
    const code = error.data?.code ?? 'unavailable';
    if (code === 'unauthorized') {
      const phase = this.#state.closesAt !== null ? 'expired' : 'refused';
      return this.#set({ phase, closesAt: null, refusal: { code, message: error.message } });
    }
    this.#retryTimer = setTimeout(() => this.#socket.connect(), this.#backoff());
  }

  /** The server is about to close and wants its clients back, spread over that time, on another gateway. */
  #move(withinMs: number): void {
    this.#set({ moving: true });
    clearTimeout(this.#moveTimer);
    const engine = this.#socket.io.engine;
    // Usually the server closes first. Only the transport: a proper goodbye would end the session that brings back what was missed.
    this.#moveTimer = setTimeout(() => engine?.close(), withinMs * (0.5 + this.#random() / 2));
  }

  #tellCaughtUp(missed: number): void {
    this.#set({ caughtUp: missed });
    clearTimeout(this.#newsTimer);
    this.#newsTimer = setTimeout(() => this.#set({ caughtUp: null }), caughtUpMs);
  }

  #backoff(): number {
    return this.#spread(Math.min(500 * 2 ** this.#retries++, 8000));
  }

  #spread(ms: number): number {
    return ms * (0.5 + this.#random());
  }

  #auth(): object {
    return this.#token ? { token: this.#token } : {};
  }

  #clearTimers(): void {
    for (const timer of [this.#retryTimer, this.#newsTimer, this.#moveTimer, this.#numbersTimer]) clearTimeout(timer);
  }

  #set(change: Partial<LiveState>): void {
    this.#state = { ...this.#state, ...change };
    for (const run of this.#subscribers) run(this.#state);
  }
}
