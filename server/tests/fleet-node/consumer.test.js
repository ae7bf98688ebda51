// The example of an order system: it reads the ledger of a sale, is killed in the midst of it, starts again, and has every
// claim once.

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

test('a consumer that is killed and started again has every claim once', { skip }, async (t) => {
  const redis = await startRedis();
  t.after(() => redis.stop());
  const gateway = await startGateway({ HAAT_REDIS_URL: redis.url });
  t.after(() => gateway.stop());
  const people = new People();
  t.after(() => people.close());
  const folder = mkdtempSync(path.join(tmpdir(), 'haat-orders-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const ORDERS = path.join(folder, 'orders.jsonl');
  const orders = () => (existsSync(ORDERS) ? readFileSync(ORDERS, 'utf8').split('\n').filter(Boolean) : []);
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
  const drop = { id: 'd1', product: 'saree', price, stock: CLAIMS, perUser: CLAIMS };
  await done(supplier, 'drop:open', { stream: STREAM, drop });
  const buyer = await people.viewer(gateway.url, STREAM, 'asha');
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
  const ids = orders().map((line) => JSON.parse(line).id);
  assert.equal(new Set(claimed).size, CLAIMS);
  assert.deepEqual([...ids].sort(), [...claimed].sort());
});
