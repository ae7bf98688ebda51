// Clients, as an application makes them: the official package with its public options.

import { io } from 'socket.io-client';
import { supplierToken } from './token.js';
import { once, within } from './wait.js';

export { supplierToken, token } from './token.js';

/** The three ways in which the official client travels. */
export const TRAVEL = {
  'polling, then WebSocket': {},
  'WebSocket only': { transports: ['websocket'] },
  'polling only': { transports: ['polling'] },
};

/** The clients of one test, so that they can be closed together. */
export class Clients {
  #all = [];

  /** A client that is not connected yet, or maybe is. Reconnects fast. */
  make(url, auth = {}, options = {}) {
    const socket = io(url, { auth, forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 100, ...options });
    this.#all.push(socket);
    return socket;
  }

  /** A connected client. */
  async connect(url, auth = {}, options = {}) {
    const socket = this.make(url, auth, options);
    const refused = new Promise((_, reject) => socket.once('connect_error', reject));
    await within(Promise.race([once(socket, 'connect'), refused]), 'connection');
    return socket;
  }

  /** The supplier of these streams, who has started them. */
  async supplier(url, ...streams) {
    const socket = await this.connect(url, { token: supplierToken(...streams) });
    for (const stream of streams) await done(socket, 'stream:start', { stream, title: `Sale ${stream}` });
    return socket;
  }

  /** A client that has joined a stream. `heard` are its chat messages. */
  async viewer(url, stream, auth = {}, options = {}) {
    const socket = await this.connect(url, auth, options);
    socket.heard = [];
    socket.on('chat:message', (message) => socket.heard.push(message));
    socket.joined = await done(socket, 'stream:join', { stream });
    return socket;
  }

  close() {
    for (const socket of this.#all.splice(0)) socket.disconnect();
  }
}

/** Sends a command and returns its answer. */
export function call(socket, command, body) {
  return socket.timeout(20_000).emitWithAck(command, body);
}

/** As `call`; the command must be done. */
export async function done(socket, command, body) {
  const answer = await call(socket, command, body);
  if (answer.ok !== true) throw new Error(`${command}: ${JSON.stringify(answer)}`);
  return answer;
}

/** Says something, and returns the message. */
export const say = async (socket, stream, text) => (await done(socket, 'chat:send', { stream, text })).message;

/** The name of what carries a client at present. */
export const transport = (socket) => socket.io.engine.transport.name;
