// A Redis of the test's own, and what speaks to it beside haat: the official packages, unmodified.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import net from 'node:net';
import { createAdapter, createShardedAdapter } from '@socket.io/redis-adapter';
import { Emitter } from '@socket.io/redis-emitter';
import { createClient } from 'redis';
import { Server } from 'socket.io';
import { until } from '../../clients/support/wait.js';

/** Why the tests are left out, if there is no redis-server. */
export const skip = spawnSync('redis-server', ['--version']).error && 'redis-server is not installed (.ci/redis installs it)';

/** A port that nobody listens on. */
async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Starts a Redis that keeps nothing. It has to be stopped. */
export async function startRedis() {
  const port = await freePort();
  const child = spawn('redis-server', ['--port', port, '--bind', '127.0.0.1', '--save', ''], { stdio: 'ignore' });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const url = `redis://127.0.0.1:${port}`;
  const clients = [];
  const redis = {
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
      child.kill('SIGKILL');
      await exited;
    },
  };
  await until('redis is up', () => new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => resolve(socket.end()));
    socket.on('error', () => resolve(undefined));
  }));
  return redis;
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
