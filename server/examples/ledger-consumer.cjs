#!/usr/bin/env node
// Reads the ledger of a stream as an order system does: as one consumer of a group, so that several of them share the work,
// and none of it is lost when one of them dies.
//
//   npm install redis
//   REDIS_URL=redis://127.0.0.1:6379 STREAM=main ORDERS=orders.jsonl node ledger-consumer.cjs
//
// A claim is an order at once, or, if it is held for its buyer to pay (`holdMs`), once it is confirmed. One that goes back to
// stock is none any more, even if it was confirmed.
//
// A record is given again until it is acknowledged: at least once. What makes it exactly once is the claim's id: an order
// that is there already is not written again. Here orders are the lines of a file, the last one of an id counts; in a shop
// they are the rows of a table with a unique index on the id.

'use strict';

const fs = require('node:fs');
const os = require('node:os');
const { createClient } = require('redis');

const { REDIS_URL = 'redis://127.0.0.1:6379', STREAM = 'main', ORDERS = 'orders.jsonl' } = process.env;
// `ledgerKey` of GET /v1/streams/<id>: on a single Redis it is this.
const KEY = process.env.LEDGER_KEY ?? `haat:{${STREAM}}:ledger`;
const GROUP = process.env.GROUP ?? 'orders';
// Who starts again under the same name goes on with what it had taken and not acknowledged.
const CONSUMER = process.env.CONSUMER ?? os.hostname();
// What another consumer has had for so long is taken over: it has died.
const ABANDONED_MS = 30_000;

/** The orders that are there, and their states. A line that was cut off by a crash is none. */
function load(path) {
  const text = fs.existsSync(path) ? fs.readFileSync(path, 'utf8') : '';
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  if (whole.length < text.length) fs.truncateSync(path, Buffer.byteLength(whole));
  const orders = whole.split('\n').filter(Boolean).map((line) => JSON.parse(line));
  return new Map(orders.map(({ id, state }) => [id, state]));
}

const known = load(ORDERS);
const file = fs.openSync(ORDERS, 'a');

/** The claim of a record. One that cannot be read was written by somebody else: it must not stop those behind it. */
function claimOf({ kind, data }) {
  if (!['claim', 'confirm', 'release'].includes(kind)) return null;
  try {
    const claim = JSON.parse(data);
    return claim?.id && claim.user?.id ? claim : null;
  } catch {
    return null;
  }
}

/** What a record makes of the order of its claim; `null`: nothing. */
function stateAfter({ kind }, claim) {
  const before = known.get(claim.id);
  // Noted without an order too: another consumer may have the record of the order still, and do it later.
  if (kind === 'release') return before === 'cancelled' ? null : 'cancelled';
  // A held claim waits for its `confirm`. One that is not confirmed in time is `expire`, and never was an order.
  if (before || (kind === 'claim' && claim.holdMs)) return null;
  return 'placed';
}

/** Does what a record asks for. When it returns, it is done for good. */
function handle(record) {
  const claim = claimOf(record);
  const state = claim && stateAfter(record, claim);
  if (!state) return;
  const { id, user, product, quantity } = claim;
  fs.writeSync(file, `${JSON.stringify({ id, state, user: user.id, product, quantity })}\n`);
  fs.fsyncSync(file);
  known.set(id, state);
}

/** Handles records one after the other, and acknowledges each once it is done. */
async function take(redis, records) {
  for (const { id, message } of records) {
    // A record that was trimmed before it was handled has no content any more.
    if (message) handle(message);
    await redis.xAck(KEY, GROUP, id);
  }
}

async function main() {
  const redis = createClient({ url: REDIS_URL });
  redis.on('error', (error) => console.error(`redis: ${error.message}`));
  await redis.connect();
  try {
    // From the beginning of the ledger, which need not be there yet.
    await redis.xGroupCreate(KEY, GROUP, '0', { MKSTREAM: true });
  } catch (error) {
    if (!error.message.startsWith('BUSYGROUP')) throw error;
  }
  let stop = false;
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => (stop = true));
  // First what it had before, then what is new.
  let from = '0';
  while (!stop) {
    const { messages: abandoned } = await redis.xAutoClaim(KEY, GROUP, CONSUMER, ABANDONED_MS, '0-0', { COUNT: 100 });
    await take(redis, abandoned.filter(Boolean));
    const read = await redis.xReadGroup(GROUP, CONSUMER, { key: KEY, id: from }, { COUNT: 100, BLOCK: 2_000 });
    const records = read?.[0]?.messages ?? [];
    await take(redis, records);
    if (from === '0' && records.length === 0) from = '>';
  }
  await redis.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
