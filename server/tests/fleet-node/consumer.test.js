// The example of an order system: it reads the ledger of a sale, is killed in the midst of it, starts again, and has every
// claim once. What is held is no order before it is confirmed.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, existsSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startGateway } from '../clients/support/gateway.js';
import { supplierToken } from '../clients/support/token.js';
import { until } from '../clients/support/wait.js';
import { People, done } from './support/people.js';
import { skip, startRedis } from './support/redis.js';

const STREAM = 'main';
const CLAIMS = 300;
const EXAMPLE = fileURLToPath(new URL('../../examples/ledger-consumer.cjs', import.meta.url));
/** The example has no packages of its own. */
const PACKAGES = fileURLToPath(new URL('./node_modules', import.meta.url));
const GROUP = 'orders';
const KEY = `haat:{${STREAM}}:ledger`;

/** A sale with a supplier and a buyer, and the example, which `start` runs. */
async function sale(t, drop) {
  const redis = await startRedis();
  t.after(() => redis.stop());
  const gateway = await startGateway({ HAAT_REDIS_URL: redis.url });
  t.after(() => gateway.stop());
  const people = new People();
  t.after(() => people.close());
  const folder = mkdtempSync(path.join(tmpdir(), 'haat-orders-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const ORDERS = path.join(folder, 'orders.jsonl');
  const lines = () => (existsSync(ORDERS) ? readFileSync(ORDERS, 'utf8').split('\n').filter(Boolean) : []);
  const orders = () => lines().map((line) => JSON.parse(line));
  const start = () => {
    const variables = { REDIS_URL: redis.url, STREAM, ORDERS, CONSUMER: 'one', NODE_PATH: PACKAGES, PATH: process.env.PATH };
    const child = spawn(process.execPath, [EXAMPLE], { env: variables, stdio: ['ignore', 'inherit', 'inherit'] });
    child.gone = new Promise((resolve) => child.once('exit', (code) => resolve(code)));
    t.after(() => child.kill('SIGKILL'));
    return child;
  };

  const supplier = await people.connect(gateway.url, { token: supplierToken(STREAM) });
  const price = { amount: 100, currency: 'INR' };
  await done(supplier, 'stream:start', { stream: STREAM, title: 'Sale' });
  await done(supplier, 'product:put', { stream: STREAM, product: { id: 'saree', title: 'Saree', price } });
  const whole = { id: 'd1', product: 'saree', price, stock: CLAIMS, perUser: CLAIMS, ...drop };
  await done(supplier, 'drop:open', { stream: STREAM, drop: whole });
  const buyer = await people.viewer(gateway.url, STREAM, 'asha');
  return { redis, supplier, buyer, orders, start };
}

test('a consumer that is killed and started again has every claim once', { skip }, async (t) => {
  const { redis, buyer, orders, start } = await sale(t, {});
  const claimed = [];
  const claim = async (count) => {
    const answers = Array.from({ length: count }, () => done(buyer, 'drop:claim', { stream: STREAM, drop: 'd1' }));
    claimed.push(...(await Promise.all(answers)).map((answer) => answer.claim.id));
  };

  const first = start();
  await claim(CLAIMS / 3);
  await until('it is in its midst', () => orders().length > 0);
  first.kill('SIGKILL');
  await first.gone;
  await claim(CLAIMS / 3);
  // What it may have done last without saying so: it was given the record, and has not acknowledged it.
  const eyes = await redis.connect();
  const [read] = await eyes.xReadGroup(GROUP, 'one', { key: KEY, id: '>' }, { COUNT: 5 });
  assert.equal(read.messages.length, 5);
  const second = start();
  await claim(CLAIMS / 3);
  await until('it has all', () => orders().length >= CLAIMS);
  await until('it has acknowledged all', async () => (await eyes.xPending(KEY, GROUP)).pending === 0);
  second.kill('SIGTERM');
  assert.equal(await second.gone, 0);
  const ids = orders().map((order) => order.id);
  assert.equal(new Set(claimed).size, CLAIMS);
  assert.deepEqual([...ids].sort(), [...claimed].sort());
});

test('a held claim is an order once it is confirmed, and none when it goes back', { skip }, async (t) => {
  const { redis, supplier, buyer, orders, start } = await sale(t, { holdMs: 300_000 });
  const claim = async () => (await done(buyer, 'drop:claim', { stream: STREAM, drop: 'd1' })).claim.id;
  const settle = (command, id) => done(supplier, command, { stream: STREAM, drop: 'd1', claim: id });
  const [held, confirmed, released, regretted] = [await claim(), await claim(), await claim(), await claim()];
  for (const id of [confirmed, regretted]) await settle('drop:confirm', id);
  for (const id of [released, regretted]) await settle('drop:release', id);
  const consumer = start();
  const eyes = await redis.connect();
  await until('it has acknowledged all', async () => {
    const [group] = (await eyes.exists(KEY)) ? await eyes.xInfoGroups(KEY) : [];
    return group?.lag === 0 && group.pending === 0;
  });
  consumer.kill('SIGTERM');
  assert.equal(await consumer.gone, 0);
  const states = (id) => orders().filter((order) => order.id === id).map((order) => order.state);
  assert.deepEqual(states(held), []);
  assert.deepEqual(states(confirmed), ['placed']);
  assert.equal(states(released).includes('placed'), false);
  assert.deepEqual(states(regretted), ['placed', 'cancelled']);
});
