// A Redis of the test's own, and what speaks to it beside haat: the official packages, unmodified.

import { once } from 'node:events';
import { createServer } from 'node:http';
import { createAdapter, createShardedAdapter } from '@socket.io/redis-adapter';
import { Emitter } from '@socket.io/redis-emitter';
import { createClient } from 'redis';
import { Server } from 'socket.io';
import { startRedis as start } from '../../clients/support/redis.js';

export { missing as skip } from '../../clients/support/redis.js';

/** Starts a Redis that keeps nothing, and to which the official package connects. It has to be stopped. */
export async function startRedis() {
  const { url, stop } = await start();
  const clients = [];
  return {
    url,
    /** A connection of the official package. */
    async connect() {
      const client = createClient({ url, socket: { reconnectStrategy: 20 } });
      client.on('error', () => {});
      await client.connect();
      clients.push(client);
      return client;
    },
    async stop() {
      clients.forEach((client) => client.destroy());
      await stop();
    },
  };
}

/** The two ways in which Node servers share a Redis, as haat calls them. */
export const MODES = {
  classic: (pub, sub) => createAdapter(pub, sub, { requestsTimeout: 5000 }),
  sharded: (pub, sub) => createShardedAdapter(pub, sub),
};

/** Starts an official server on a Redis. It has to be stopped. */
export async function startNode(redis, mode) {
  const http = createServer();
  const io = new Server(http, { serveClient: false, adapter: MODES[mode](await redis.connect(), await redis.connect()) });
  io.on('connection', (socket) => socket.on('enter', (room, done) => done(socket.join(room))));
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  return {
    io,
    url: `http://127.0.0.1:${http.address().port}`,
    async stop() {
      await io.close();
      http.closeAllConnections();
    },
  };
}

/** An official emitter on a Redis. */
export const emitter = async (redis) => new Emitter(await redis.connect());
