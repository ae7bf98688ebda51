/** What the unit tests share: messages, stream states, and a socket without a network. Never part of the pages. */
import type { LiveSocket } from './live';
import type { ChatMessage, StreamState } from './wire';

export function message(seq: number, more: Partial<ChatMessage> = {}): ChatMessage {
  const user = { id: 'u1', name: 'Asha', role: 'viewer' };
  return { id: `id${seq}`, stream: 'main', seq, at: seq * 1000, user, text: `m${seq}`, ...more };
}

export function stream(more: Partial<StreamState> = {}): StreamState {
  const supplier = { id: 's1', name: 'Meena' };
  return { id: 'main', title: 'Sarees', supplier, status: 'live', startedAt: 1000, now: Date.now(), epoch: 'e1', seq: 0, viewers: 1, ...more };
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
