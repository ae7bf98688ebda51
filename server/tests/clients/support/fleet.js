// Gateways on one Redis, behind a balancer.

import { startBalancer } from './balancer.js';
import { startGateway } from './gateway.js';
import { missing, startRedis } from './redis.js';
import { until } from './wait.js';

export { missing };

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
