// Clients: the official package with its public options, and what they hear.

import { io } from 'socket.io-client';
import { token } from '../../clients/support/token.js';
import { once, within } from '../../clients/support/wait.js';

/** The people of one test, so that they can be closed together. */
export class People {
  #all = [];

  /** A connected client; `heard` are the arguments of all events in the order in which they came. */
  async connect(url, auth = {}, options = {}) {
    const socket = io(url, { auth, forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 100, ...options });
    this.#all.push(socket);
    socket.heard = [];
    socket.onAny((...args) => socket.heard.push(args.filter((arg) => typeof arg !== 'function')));
    const refused = new Promise((_, reject) => socket.once('connect_error', reject));
    await within(Promise.race([once(socket, 'connect'), refused]), 'connection');
    return socket;
  }

  /** A client of haat who has joined a stream. */
  async viewer(url, stream, name, options = {}) {
    const socket = await this.connect(url, { token: token(name) }, options);
    await done(socket, 'stream:join', { stream });
    return socket;
  }

  close() {
    for (const socket of this.#all.splice(0)) socket.disconnect();
  }
}

/** Sends a command, which must be done, and returns its answer. */
export async function done(socket, command, body) {
  const answer = await socket.timeout(20_000).emitWithAck(command, body);
  if (answer.ok !== true) throw new Error(`${command}: ${JSON.stringify(answer)}`);
  return answer;
}

/** What a client heard under a name: the first argument of each, or all of them. */
export const heard = (socket, name) => socket.heard.filter(([event]) => event === name).map(([, first]) => first);
export const heardAll = (socket, name) => socket.heard.filter(([event]) => event === name).map(([, ...args]) => args);
