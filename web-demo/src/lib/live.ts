/**
 * One connection to one live stream: typed commands, typed events, and a state that a page can show as it is.
 * It brings the stream back after every interruption and hands the chat what was missed. It never touches the page.
 */
import { io } from 'socket.io-client';
import { ChatList } from './chat';
import { Outbox, type SendRefusal } from './outbox';
import type { ChatMessage, CommandError, CommandName, Commands, Events, Person, Reply, StreamState } from './wire';
import { expiryGraceMs, maxHistory } from './wire';

/**
 * connecting: first attempt · waiting: connected, the stream does not exist or has not started · live · ended ·
 * reconnecting: was there, lost the connection · expired: the token ran out and the server let go · refused · banned
 */
export type Phase = 'connecting' | 'waiting' | 'live' | 'ended' | 'reconnecting' | 'expired' | 'refused' | 'banned';

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
  /** Why the phase is `refused`. */
  refusal: CommandError | null;
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

/** What is used of the official client's socket. */
export interface LiveSocket {
  readonly connected: boolean;
  /** It reconnects by itself. */
  readonly active: boolean;
  readonly recovered: boolean;
  auth: unknown;
  readonly io: { readonly engine?: { close(): unknown } };
  on(event: string, listener: (...args: never[]) => void): unknown;
  timeout(ms: number): { emit(event: string, body: unknown, done: (error: unknown, reply?: unknown) => void): unknown };
  connect(): unknown;
  disconnect(): unknown;
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
const firstHistory = 50;
const fillPage = 100;
const fillAtMost = 200;

function openSocket(auth: object): LiveSocket {
  return io({
    auth,
    // WebSocket needs no sticky balancer; polling stays for networks that do not let it through.
    transports: ['websocket', 'polling'],
    tryAllTransports: true,
    reconnectionDelay: 500,
    reconnectionDelayMax: 5000,
    autoConnect: false,
  }) as unknown as LiveSocket;
}

const phaseOf = ({ status }: StreamState): Phase => (status === 'scheduled' ? 'waiting' : status);

export class Live {
  readonly chat: ChatList;
  readonly outbox: Outbox;
  readonly streamId: string;
  #state: LiveState;
  #token: string | undefined;
  readonly #socket: LiveSocket;
  readonly #random: () => number;
  #subscribers = new Set<(state: LiveState) => void>();
  #joined = false;
  #everJoined = false;
  /** Of the last join; the stream itself may be gone in between. */
  #epoch: StreamState['epoch'] | undefined;
  #lastSeq = -1;
  #missedFrom: number | null = null;
  #retries = 0;
  #stopped = false;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #newsTimer: ReturnType<typeof setTimeout> | undefined;
  #moveTimer: ReturnType<typeof setTimeout> | undefined;

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
      refusal: null,
      closesAt: null,
      coolUntil: 0,
      coolCode: '',
      moving: false,
      clockSkew: 0,
    };
    this.outbox = new Outbox(
      this.chat,
      (text, clientId, done) => this.#call('chat:send', { stream: this.streamId, text, clientId }, done),
      (coolUntil, coolCode) => this.#set({ coolUntil, coolCode }),
      () => this.#join(),
    );
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

  start(): void {
    this.#stopped = false;
    this.#socket.connect();
  }

  /** Leaves for good. */
  stop(): void {
    this.#stopped = true;
    this.#clearTimers();
    this.outbox.stop();
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
    this.#set({ phase: 'connecting', guest: !token, refusal: null, closesAt: null });
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

  /** Sends a chat text. Answers why not, if it cannot even be queued. */
  send(text: string): SendRefusal | null {
    return this.outbox.push(text);
  }

  async startStream(title: string): Promise<Reply<object>> {
    const reply = await this.command('stream:start', { stream: this.streamId, ...(title && { title }) });
    if (reply.ok && !this.#joined) this.#join();
    else if (reply.ok) this.#takeStream(reply.state);
    return reply;
  }

  async updateTitle(title: string): Promise<Reply<object>> {
    const reply = await this.command('stream:update', { stream: this.streamId, title });
    if (reply.ok && !this.#joined) this.#join();
    else if (reply.ok) this.#takeStream(reply.state);
    return reply;
  }

  async endStream(): Promise<Reply<object>> {
    const reply = await this.command('stream:end', { stream: this.streamId });
    if (reply.ok) this.#takeStream(reply.state);
    return reply;
  }

  /** Loads a page of messages older than the first row. */
  async loadEarlier(): Promise<void> {
    const before = this.chat.oldestSeq;
    if (before === null) return;
    const limit = firstHistory;
    const reply = await this.command('stream:history', { stream: this.streamId, before, limit });
    if (reply.ok) this.chat.prepend(reply.messages, limit);
  }

  /** Loads up to 200 of the messages that are missing in the middle, the newest first. */
  async fillHole(): Promise<void> {
    for (let asked = 0; asked < fillAtMost; asked += fillPage) {
      const hole = this.chat.hole;
      if (!hole) return;
      const body = { stream: this.streamId, before: hole.before, limit: fillPage };
      const reply = await this.command('stream:history', body);
      if (!reply.ok) return;
      const added = this.chat.fill(hole.after, reply.messages, fillPage);
      if (added && this.#state.caughtUp !== null) this.#tellCaughtUp(this.#state.caughtUp + added);
    }
  }

  /** Sends any command. A missing reply is the error `unavailable`: the outcome is not known. */
  command<C extends CommandName>(name: C, body: Commands[C]['body']): Promise<Reply<Commands[C]['reply']>> {
    return new Promise((resolve) => {
      const unknown = { ok: false as const, error: { code: 'unavailable', message: 'no answer' } };
      // Never through the official client's own buffer: it would go out before the stream is joined again.
      if (!this.#socket.connected) return resolve(unknown);
      this.#call(name, body, (reply) => resolve(reply ?? unknown));
    });
  }

  /** The callback runs while the reply is read, before any event behind it. */
  #call<C extends CommandName>(
    name: C,
    body: Commands[C]['body'],
    done: (reply: Reply<Commands[C]['reply']> | null) => void,
  ): void {
    this.#socket.timeout(replyTimeoutMs).emit(name, body, (error, reply) => {
      const readable = !error && typeof reply === 'object' && reply !== null && 'ok' in reply;
      done(readable ? (reply as Reply<Commands[C]['reply']>) : null);
    });
  }

  #listen(): void {
    const socket = this.#socket;
    socket.on('connect', () => this.#connected());
    socket.on('disconnect', (reason: string) => this.#disconnected(reason));
    socket.on('connect_error', (error: Error & { data?: CommandError }) => this.#connectFailed(error));
    const on = <E extends keyof Events>(event: E, run: (body: Events[E]) => void) =>
      socket.on(event, (body: Events[E]) => {
        const about = body as { stream?: string; state?: StreamState } | undefined;
        const stream = about?.stream ?? about?.state?.id;
        if (stream === undefined || stream === this.streamId) run(body);
      });
    on('chat:message', (message) => {
      this.#sawSeq(message.seq);
      this.chat.add(message);
    });
    on('chat:deleted', (body) => {
      this.#sawSeq(body.seq);
      this.chat.remove(body.message);
    });
    on('viewers', ({ count }) => this.#set({ viewers: count }));
    for (const event of ['stream:started', 'stream:updated', 'stream:ended'] as const) {
      on(event, (body) => {
        if (this.#sawSeq(body.seq ?? body.state.seq)) this.#takeStream(body.state);
      });
    }
    on('stream:reset', () => this.#join());
    on('user:banned', () => this.#set({ phase: 'banned' }));
    on('token:expired', () => this.#set({ closesAt: Date.now() + expiryGraceMs }));
    on('server:draining', ({ reconnectWithinMs }) => this.#move(reconnectWithinMs));
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
    if (this.#socket.recovered && wasThere) this.#settled();
    else this.#join();
  }

  #join(): void {
    clearTimeout(this.#retryTimer);
    if (!this.#socket.connected) return;
    const history = this.#everJoined ? maxHistory : firstHistory;
    this.#call('stream:join', { stream: this.streamId, history }, (reply) => {
      if (reply?.ok) this.#joinedWith(reply, history);
      else this.#joinFailed(reply?.error ?? { code: 'unavailable', message: 'no answer' });
    });
  }

  #joinedWith(reply: { state: StreamState; me: Person; history: ChatMessage[] }, limit: number): void {
    if (this.#epoch !== undefined && this.#epoch !== reply.state.epoch) this.chat.startEra();
    this.#epoch = reply.state.epoch;
    this.chat.me = reply.me.id;
    this.chat.merge(reply.history, limit);
    this.#lastSeq = reply.state.seq;
    this.#takeStream(reply.state);
    this.#set({ me: reply.me, viewers: reply.state.viewers });
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
  }

  #joinFailed({ code, message, retryAfterMs }: CommandError): void {
    if (!this.#socket.connected) return;
    if (code === 'banned') return this.#set({ phase: 'banned' });
    if (code === 'unauthorized' || code === 'forbidden' || code === 'bad_request') {
      return this.#set({ phase: 'refused', refusal: { code, message } });
    }
    const isMissing = code === 'not_found';
    if (isMissing) this.#set({ phase: 'waiting', stream: null });
    this.#retryTimer = setTimeout(() => this.#join(), retryAfterMs ?? (isMissing ? this.#spread(4000) : this.#backoff()));
  }

  #takeStream(state: StreamState): void {
    this.#set({ stream: state, phase: phaseOf(state), clockSkew: state.now - Date.now() });
  }

  #disconnected(reason: string): void {
    this.#joined = false;
    this.outbox.stop();
    clearTimeout(this.#moveTimer);
    clearTimeout(this.#retryTimer);
    if (this.#stopped) return;
    // A second loss before everything is back still counts from the first.
    this.#missedFrom ??= this.chat.total;
    if (this.#state.phase === 'banned') return;
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
    for (const timer of [this.#retryTimer, this.#newsTimer, this.#moveTimer]) clearTimeout(timer);
  }

  #set(change: Partial<LiveState>): void {
    this.#state = { ...this.#state, ...change };
    for (const run of this.#subscribers) run(this.#state);
  }
}
