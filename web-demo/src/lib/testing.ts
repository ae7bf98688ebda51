/** What the unit tests share: messages, stream states, and a socket without a network. Never part of the pages. */
import { Live } from './live';
import type { LiveSocket } from './socket';
import { complete } from './feed';
import type { ChatMessage, Drop, Person, Poll, StreamState, Wheel } from './wire';

export function message(seq: number, more: Partial<ChatMessage> = {}): ChatMessage {
  const user = { id: 'u1', name: 'Asha', role: 'viewer' };
  return { id: `id${seq}`, stream: 'main', seq, at: seq * 1000, user, text: `m${seq}`, ...more };
}

export function stream(more: Partial<StreamState> = {}): StreamState {
  const supplier = { id: 's1', name: 'Meena' };
  const status = 'live' as const;
  return complete({ id: 'main', title: 'Sarees', supplier, status, startedAt: 1000, now: Date.now(), epoch: 'e1', seq: 0, viewers: 1, ...more });
}

export const saree = { id: 'p1', title: 'Blue saree', price: { amount: 49_900, currency: 'INR' }, stock: 12 };

export const drop = (more: Partial<Drop> = {}): Drop => ({
  id: 'd1',
  product: 'p1',
  price: { amount: 29_900, currency: 'INR' },
  stock: 20,
  left: 20,
  perUser: 1,
  status: 'open',
  ...more,
});

export const wheel = (more: Partial<Wheel> = {}): Wheel => ({
  id: 'w1',
  title: 'Diwali wheel',
  prizes: [
    { id: 'a', label: 'Scarf', weight: 1, stock: 2 },
    { id: 'b', label: '10% off', weight: 3 },
  ],
  spinsPerUser: 1,
  seedHash: 'ab12',
  status: 'open',
  ...more,
});

export const poll = (more: Partial<Poll> = {}): Poll => ({
  id: 'q1',
  question: 'Which one next?',
  options: ['Blue', 'Red'],
  tally: [0, 0],
  votes: 0,
  status: 'open',
  ...more,
});

export const me = { id: 'me', name: 'Me', role: 'viewer' };

/** A connection whose server is the test. */
export function setUp(token: string | undefined = 'token') {
  const socket = new FakeSocket();
  const open = (auth: object) => {
    socket.auth = auth;
    return socket;
  };
  const live = new Live({ stream: 'main', token, open, random: () => 0.5 });
  live.start();
  const join = (history: ChatMessage[] = [], state: Partial<StreamState> = {}, who: Person = me) => {
    const seq = history.at(-1)?.seq ?? 0;
    socket.take('stream:join').reply({ ok: true, me: who, history, state: stream({ seq, ...state }) });
  };
  const seqs = () => live.chat.view().rows.map((row) => (row.kind === 'message' ? row.message.seq : row.kind));
  return { socket, live, join, seqs };
}

export function setUpJoined(history: ChatMessage[] = [], state: Partial<StreamState> = {}, who: Person = me) {
  const all = setUp();
  all.socket.up();
  all.join(history, state, who);
  return all;
}

interface Sent {
  event: string;
  body: Record<string, unknown>;
  /** Answers the command; nothing stands for a reply that never came. */
  reply: (reply?: unknown) => void;
}

/** Stands in for the official client's socket: the test plays the server. */
export class FakeSocket implements LiveSocket {
  connected = false;
  active = true;
  recovered = false;
  auth: unknown;
  sent: Sent[] = [];
  connects = 0;
  transportsClosed = 0;
  io = { engine: { close: () => this.transportsClosed++ } };
  #listeners = new Map<string, (...args: never[]) => void>();

  on(event: string, listener: (...args: never[]) => void) {
    this.#listeners.set(event, listener);
  }

  timeout() {
    return {
      emit: (event: string, body: unknown, done: (error: unknown, reply?: unknown) => void) => {
        const reply = (reply?: unknown) => done(reply === undefined ? new Error('no answer') : null, reply);
        this.sent.push({ event, body: body as Record<string, unknown>, reply });
      },
    };
  }

  connect() {
    this.connects++;
    this.active = true;
  }

  disconnect() {
    this.active = false;
    this.connected = false;
  }

  /** The server, or the client itself, tells something. */
  fire(event: string, body?: unknown) {
    (this.#listeners.get(event) as ((body: unknown) => void) | undefined)?.(body);
  }

  up(recovered = false) {
    this.connected = true;
    this.active = true;
    this.recovered = recovered;
    this.fire('connect');
  }

  down(reason = 'transport close') {
    this.connected = false;
    this.fire('disconnect', reason);
  }

  refuse(code: string) {
    this.active = false;
    this.fire('connect_error', Object.assign(new Error(code), { data: { code, message: code } }));
  }

  /** The oldest command not taken yet; fails unless it is the one expected. */
  take(event: string): Sent {
    const sent = this.sent.shift();
    if (sent?.event !== event) throw new Error(`expected ${event}, was sent ${sent?.event ?? 'nothing'}`);
    return sent;
  }
}
