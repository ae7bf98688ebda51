// The containers of the fleet, as the engine sees them.

import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { until } from '../../server/tests/clients/support/wait.js';

const run = promisify(execFile);
/** Where Prometheus answers. */
export const PROMETHEUS = `http://127.0.0.1:${process.env.PROMETHEUS_PORT ?? 9095}`;

/** Where clients connect. */
export const FLEET = `http://127.0.0.1:${process.env.FLEET_PORT ?? 3000}`;
/** Milliseconds in which containers come up, or a fleet finds itself again. */
export const PATIENCE = 60_000;

/** What the engine answers; an error if it fails. */
export const docker = async (...parameters) => (await run('docker', parameters)).stdout.trim();

/** The containers of a service of the fleet, running or not. */
export async function containers(service) {
  const labels = [`label=com.docker.compose.project=haat`, `label=com.docker.compose.service=${service}`];
  const ids = await docker('ps', '--all', '--quiet', ...labels.flatMap((label) => ['--filter', label]));
  return ids.split('\n').filter(Boolean);
}

/** All that the engine knows of a container. */
export const inspect = async (id) => JSON.parse(await docker('inspect', id))[0];

/** Ends what runs in a container as a crash does: the engine did not ask for it. */
export async function crash(id) {
  process.kill((await inspect(id)).State.Pid, 'SIGKILL');
}

/** What the kernel says of the process of a container. */
export async function process_of(id) {
  const { State } = await inspect(id);
  const lines = (await readFile(`/proc/${State.Pid}/status`, 'utf8')).split('\n').map((line) => line.split(':\t'));
  return Object.fromEntries(lines.map(([name, value]) => [name, value?.trim()]));
}

/** Whether `haat health` succeeds in a container. */
export const healthy = (id, ...flags) =>
  docker('exec', id, '/usr/bin/haat', 'health', ...flags).then(() => true, () => false);

/** The values that Prometheus has for a query, by what they are of. */
export async function prometheus(query) {
  const answer = await fetch(`${PROMETHEUS}/api/v1/query?query=${encodeURIComponent(query)}`);
  const { data } = await answer.json();
  return Object.fromEntries(data.result.map(({ metric, value }) => [metric.instance ?? '', Number(value[1])]));
}

/** Waits until so many gateways are ready, and the balancer and Prometheus know it. */
export async function complete(count) {
  await until(`${count} gateways that are ready`, async () => {
    const all = await Promise.all((await containers('gateway')).map((id) => healthy(id, '--ready')));
    return all.filter(Boolean).length === count;
  }, PATIENCE);
  const ready = async (query) => Object.values(await prometheus(query).catch(() => ({})));
  await until('Prometheus to have them all', async () => {
    const up = await ready('up{job="haat"}');
    return up.length === count && up.every((value) => value === 1);
  }, PATIENCE);
  const servers = 'haproxy_backend_active_servers{proxy="gateways"}';
  await until('the balancer to have them all', async () => (await ready(servers))[0] === count, PATIENCE);
}
