// Gateways on one Redis, behind a balancer.

import { spawn, spawnSync } from 'node:child_process';
import net from 'node:net';
import { once } from 'node:events';
import { startBalancer } from './balancer.js';
import { startGateway } from './gateway.js';
import { until } from './wait.js';

/** Why tests of a fleet cannot run; false if they can. */
export const missing = spawnSync('redis-server', ['--version']).error ? 'there is no redis-server' : false;

/** A port that nobody listens on. */
export async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

async function startRedis() {
  const port = await freePort();
  const options = ['--port', port, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--loglevel', 'warning'];
  const child = spawn('redis-server', options.map(String), { stdio: 'ignore', cwd: '/tmp' });
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

/** So many gateways that are ready, and a balancer in front of them. It has to be stopped. */
export async function startFleet(count, variables = {}) {
  const redis = await startRedis();
  const start = () => startGateway({ HAAT_REDIS_URL: redis.url, ...variables });
  const gateways = await Promise.all(Array.from({ length: count }, start));
  for (const { side } of gateways) await until('a gateway that is ready', async () => (await fetch(`${side}/readyz`)).ok);
  const balancer = await startBalancer(...gateways.map(({ port }) => port));
  return {
    url: balancer.url,
    redis: redis.url,
    gateways,
    balancer,
    /** The sum of a metric over its labels and all gateways that answer. */
    async metric(name) {
      const texts = await Promise.all(gateways.map(({ side }) => fetch(`${side}/metrics`).then((page) => page.text(), () => '')));
      const lines = texts.flatMap((text) => text.split('\n')).filter((line) => line.startsWith(`${name}{`));
      return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
    },
    async stop() {
      await balancer.close();
      await Promise.all(gateways.map((gateway) => gateway.stop()));
      await redis.stop();
    },
  };
}
