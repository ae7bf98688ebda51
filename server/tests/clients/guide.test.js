// The guides tell the truth: their examples of events have the members that the events have, and their code works.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { execFileSync } from 'node:child_process';
import { once as happened } from 'node:events';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { Clients, call, done } from './support/client.js';
import { SECRET, startGateway } from './support/gateway.js';
import { token } from './support/token.js';
import { until } from './support/wait.js';

const read = (page) => readFileSync(new URL(`../../guide/${page}.md`, import.meta.url), 'utf8');
const pages = { app: read('app'), backend: read('backend') };

/** The code blocks of a language in a page. */
const blocks = (page, language) => [...page.matchAll(new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 'gs'))].map(([, code]) => code);

/** Whoever an example leaves out: what happens only when servers fail, and the client of the test has to go. */
const ELSEWHERE = ['stream:reset', 'server:degraded'];

/** What the examples show, by event. */
const examples = new Map(
  blocks(pages.app, 'json').flatMap((block) => block.trim().split('\n')).map((line) => {
    const [name, object, ...more] = JSON.parse(line);
    assert.deepEqual(more, [], name);
    return [name, object];
  }),
);

/** The names of all members, those of objects in it too; a state is as it is. */
function members(value, path = '') {
  if (Array.isArray(value)) return members(value[0], `${path}[]`);
  if (value === null || typeof value !== 'object' || path === '.state') return [];
  return Object.entries(value).flatMap(([name, member]) => [`${path}.${name}`, ...members(member, `${path}.${name}`)]);
}

/** A module of a page's code, with more behind it. */
const module = (code) => import(`data:text/javascript,${encodeURIComponent(code)}`);

describe('the guides', () => {
  const clients = new Clients();
  let gateway, host, asha;
  const heard = new Map();
  const ok = (socket, command, body) => done(socket, command, { stream: 'main', ...body });

  const listen = (socket) =>
    socket.onAny((name, object) => heard.set(name, [...(heard.get(name) ?? []), object]));

  before(async () => {
    gateway = await startGateway({ HAAT_LIMITS_REACTIONS_PER_SECOND: '0', HAAT_DRAIN_SECONDS: '2' });
    host = await clients.supplier(gateway.url, 'main');
    listen(host);
    await ok(host, 'stream:join');
    asha = await clients.viewer(gateway.url, 'main', { token: token('asha', { name: 'Asha' }) });
    listen(asha);
  });

  after(async () => {
    clients.close();
    await gateway.stop();
  });

  test('every event has its example, with the members that it has', async () => {
    const price = { amount: 99900, currency: 'INR' };
    await ok(host, 'product:put', { product: { id: 'saree-1', title: 'Silk saree', price } });
    await ok(host, 'product:pin', { product: 'saree-1' });
    await ok(host, 'product:unpin');
    const { message } = await ok(asha, 'chat:send', { text: 'How much?' });
    await ok(host, 'chat:pin', { message: message.id });
    await ok(host, 'chat:unpin', { message: message.id });
    await ok(host, 'chat:delete', { message: message.id });
    await ok(host, 'chat:mode', { slowSeconds: 0 });
    await ok(host, 'notice:send', { text: 'Free shipping today' });
    await ok(asha, 'reaction:send', { kind: 'heart', count: 3 });
    const { question } = await ok(asha, 'question:ask', { text: 'Is it washable?' });
    await ok(host, 'question:answer', { question: question.id, text: 'Yes, by hand.' });
    await ok(host, 'drop:open', { drop: { id: 'drop-1', product: 'saree-1', price, stock: 2, durationMs: 60_000 } });
    await ok(asha, 'drop:claim', { drop: 'drop-1' });
    const prizes = [{ id: 'ten', label: '10% off', weight: 1, stock: 5 }];
    await ok(host, 'wheel:open', { wheel: { id: 'wheel-1', title: 'Lucky wheel', prizes } });
    await ok(asha, 'wheel:spin', { wheel: 'wheel-1' });
    await ok(host, 'wheel:close', { wheel: 'wheel-1' });
    await ok(host, 'poll:open', { poll: { id: 'poll-1', question: 'Which one next?', options: ['Red', 'Blue'] } });
    await ok(asha, 'poll:vote', { poll: 'poll-1', option: 1 });
    await until('the numbers', () => ['drop:stock', 'poll:tally', 'reactions', 'viewers'].every((name) => heard.has(name)));
    await ok(host, 'poll:close', { poll: 'poll-1' });
    await ok(host, 'drop:close', { drop: 'drop-1' });
    await ok(host, 'words:set', { words: ['spam'], action: 'hold' });
    await ok(asha, 'chat:send', { text: 'spam here' });
    await ok(host, 'user:mute', { user: 'asha', seconds: 60, reason: 'shouting' });
    asha.emit('chat:send', { stream: 'main', text: '' });
    await until('an error', () => heard.has('error:command'));
    await ok(host, 'user:ban', { user: 'asha' });
    await ok(host, 'stream:update', { title: 'Last minutes' });
    await ok(host, 'stream:end');
    await ok(host, 'stream:start');
    const soon = Math.floor(Date.now() / 1000);
    const late = clients.make(gateway.url, { token: token('late', { exp: soon }) });
    listen(late);
    await until('the expiry', () => heard.has('token:expired'));
    late.disconnect();
    gateway.terminate();
    await until('the drain', () => heard.has('server:draining'));

    for (const [name, objects] of heard) assert.ok(examples.has(name), `app.md has no example of ${name}`);
    for (const [name, object] of examples) {
      if (ELSEWHERE.includes(name)) continue;
      const shown = members(object).sort();
      const seen = (heard.get(name) ?? []).map((other) => members(other).sort());
      assert.ok(seen.some((other) => other.join() === shown.join()), `${name}: ${shown} is not among ${JSON.stringify(seen)}`);
    }
  });
});

describe('code of the guides', () => {
  let gateway, stream;
  before(async () => (gateway = await startGateway({ HAAT_GUESTS: 'false' })));
  after(() => gateway.stop());

  /** Whether a token is one that gateways take. */
  const holds = async (text) => (await fetch(`${gateway.url}/v1/streams`, { headers: { authorization: `Bearer ${text}` } })).ok;

  test('signs tokens, in Node and in Python', async () => {
    process.env.HAAT_AUTH_SECRET = SECRET;
    const { token } = await module(blocks(pages.backend, 'js').find((code) => code.includes('export function token')));
    assert.ok(await holds(token({ sub: 'asha', exp: Math.floor(Date.now() / 1000) + 600 })));
    const python = blocks(pages.backend, 'python').find((code) => code.includes('def token'));
    assert.ok(await holds(execFileSync('python3', ['-c', python], { env: process.env }).toString().trim()));
    assert.equal(await holds('nonsense'), false);
  });

  test('claims until there is an answer', async (t) => {
    const clients = new Clients();
    t.after(() => clients.close());
    const socket = await clients.connect(gateway.url, { token: token('asha') });
    const code = blocks(pages.app, 'js').find((code) => code.includes('async function claim'));
    const { claim } = await module(`const socket = globalThis.socketOfTheGuide;\n${code}\nexport { claim };`.replace(
      'globalThis.socketOfTheGuide',
      '{ timeout: () => ({ emitWithAck: (...all) => globalThis.answerOfTheGuide(...all) }) }',
    ));
    const tries = [];
    globalThis.answerOfTheGuide = async (command, body) => {
      tries.push(body.requestId);
      return tries.length < 3 ? { ok: false, error: { code: 'unavailable', retryAfterMs: 1 } } : call(socket, command, body);
    };
    assert.equal((await claim('drop-1')).error.code, 'not_found');
    assert.equal(new Set(tries).size, 1);
  });

  test('tells genuine webhooks from others', async (t) => {
    const secret = 'another secret, of thirty-two bytes or more';
    const { isGenuine } = await module(blocks(pages.backend, 'js').find((code) => code.includes('export function isGenuine')));
    const told = [];
    const shop = createServer((request, response) => {
      const chunks = [];
      request.on('data', (chunk) => chunks.push(chunk)).on('end', () => {
        told.push([request.headers, Buffer.concat(chunks)]);
        response.end();
      });
    }).listen(0, '127.0.0.1');
    t.after(() => shop.close());
    await happened(shop, 'listening');
    const url = `http://127.0.0.1:${shop.address().port}/hook`;
    const teller = await startGateway({ HAAT_WEBHOOKS_URLS: url, HAAT_WEBHOOKS_SECRET: secret });
    t.after(() => teller.stop());
    const clients = new Clients();
    t.after(() => clients.close());
    await clients.supplier(teller.url, 'main');
    await until('a delivery', () => told.length > 0);
    const [headers, body] = told[0];
    assert.ok(isGenuine(headers, body, secret));
    assert.equal(isGenuine(headers, body, `${secret}!`), false);
    assert.equal(isGenuine(headers, Buffer.concat([body, Buffer.from(' ')]), secret), false);
    assert.equal(isGenuine({ ...headers, 'haat-timestamp': '1' }, body, secret), false);
    assert.deepEqual([headers['haat-event'], headers['haat-delivery']], ['stream:started', JSON.parse(body).id]);
  });
});
