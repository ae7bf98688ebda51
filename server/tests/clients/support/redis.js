// A Redis of the test's own.

import { spawn, spawnSync } from 'node:child_process';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { once } from 'node:events';
import { until } from './wait.js';

/** Why tests that need a Redis cannot run; false if they can. */
export const missing = spawnSync('redis-server', ['--version']).error ? 'redis-server is not installed (.ci/redis installs it)' : false;

/** A port that nobody listens on. */
export async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Starts a Redis that keeps nothing. It has to be stopped. */
export async function startRedis() {
  const port = await freePort();
  const options = ['--port', port, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--loglevel', 'warning'];
  const child = spawn('redis-server', options.map(String), { stdio: 'ignore', cwd: tmpdir() });
  const exited = once(child, 'exit');
  await until('redis', () => {
    const socket = net.connect(port, '127.0.0.1');
    const open = new Promise((resolve) => {
      socket.on('connect', () => resolve(true));
      socket.on('error', () => resolve(false));
    });
    return open.finally(() => socket.destroy());
  });
  return {
    url: `redis://127.0.0.1:${port}`,
    async stop() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
