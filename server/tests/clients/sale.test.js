// A whole sale with the official client: every command there is, and the events that tell of it.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Clients, call, done as issue, supplierToken, token } from './support/client.js';
import { startGateway } from './support/gateway.js';
import { once, until } from './support/wait.js';

const STREAM = 'sale';
/** They need a connection, and so HTTP does not describe them. */
const OF_SOCKETS = ['stream:join', 'stream:leave', 'auth:refresh'];
const PRICE = { amount: 129_900, currency: 'INR' };
const SAREE = { id: 'saree', title: 'Saree', price: PRICE };

describe('a sale', () => {
  const clients = new Clients();
  const used = new Set();
  let gateway, host, guard, asha;

  /** A command in the stream, which must be done. */
  const done = (socket, command, body = {}) => {
    used.add(command);
    return issue(socket, command, { stream: STREAM, ...body });
  };
  /** The same, and the object of an event that one of the viewers is to hear of it. */
  const told = async (event, socket, command, body) => {
    const heard = once(asha, event);
    const answer = await done(socket, command, body);
    const [object] = await heard;
    assert.equal(object.stream, STREAM);
    return { answer, object };
  };

  before(async () => {
    gateway = await startGateway();
    const user = (sub, claims) => clients.connect(gateway.url, { token: token(sub, { name: sub, ...claims }) });
    host = await clients.connect(gateway.url, { token: supplierToken(STREAM) });
    await done(host, 'stream:update', { title: 'Soon' });
    guard = await user('guard', { role: 'moderator', streams: [STREAM] });
    asha = await user('asha');
    for (const socket of [host, guard, asha]) await done(socket, 'stream:join');
  });
  after(async () => {
    clients.close();
    await gateway.stop();
  });

  test('products are put, pinned and taken out', async () => {
    await told('stream:started', host, 'stream:start', { title: 'Sarees', products: [] });
    const { object } = await told('products', host, 'product:put', { product: SAREE });
    assert.deepEqual(object.products, [SAREE]);
    assert.deepEqual((await told('product:pinned', host, 'product:pin', { product: 'saree' })).object.product, SAREE);
    assert.equal((await told('product:pinned', host, 'product:unpin')).object.product, null);
    await done(host, 'product:put', { product: { ...SAREE, id: 'kurta' } });
    await done(host, 'product:remove', { product: 'kurta' });
  });

  test('a drop is claimed, confirmed, given back and closed', async () => {
    const drop = { id: 'd1', product: 'saree', price: PRICE, stock: 3, perUser: 3, holdMs: 600_000 };
    assert.equal((await told('drop:opened', host, 'drop:open', { drop })).object.drop.left, 3);
    const claim = async (requestId) => (await done(asha, 'drop:claim', { drop: 'd1', requestId })).claim;
    const [one, two] = [await claim('r1'), await claim('r2')];
    assert.deepEqual(await claim('r1'), one);
    const bought = await told('purchase', host, 'drop:confirm', { drop: 'd1', claim: one.id });
    assert.equal(bought.answer.claim.status, 'confirmed');
    assert.equal((await done(host, 'drop:release', { drop: 'd1', claim: two.id })).claim.status, 'released');
    await until('what is left', async () => (await done(host, 'stream:stats')).stats.claims === 1);
    const { object } = await told('drop:closed', host, 'drop:close', { drop: 'd1' });
    assert.equal(object.drop, 'd1');
  });

  test('a wheel is spun, and shows its seed', async () => {
    const prizes = [{ id: 'a', label: 'A', weight: 1 }];
    const opened = await told('wheel:opened', host, 'wheel:open', { wheel: { id: 'w1', title: 'W', prizes } });
    assert.match(opened.object.wheel.seedHash, /^[0-9a-f]{64}$/);
    const { answer, object } = await told('wheel:won', asha, 'wheel:spin', { wheel: 'w1', requestId: 's1' });
    assert.deepEqual([answer.spin.prize.id, answer.spinsLeft, object.user.id], ['a', 0, 'asha']);
    const closed = await told('wheel:closed', host, 'wheel:close', { wheel: 'w1' });
    assert.match(closed.object.wheel.seed, /^[0-9a-f]{64}$/);
  });

  test('a poll and questions are answered', async () => {
    const poll = { id: 'p1', question: 'Which?', options: ['red', 'blue'] };
    await told('poll:opened', host, 'poll:open', { poll });
    assert.deepEqual((await told('poll:tally', asha, 'poll:vote', { poll: 'p1', option: 1 })).answer.tally, [0, 1]);
    await told('poll:closed', host, 'poll:close', { poll: 'p1' });
    const asked = await told('question:asked', asha, 'question:ask', { text: 'Silk?' });
    const question = asked.answer.question.id;
    assert.equal((await done(guard, 'question:upvote', { question })).question.votes, 1);
    const answered = await told('question:updated', host, 'question:answer', { question, text: 'Yes.' });
    assert.equal(answered.object.question.answer, 'Yes.');
    await told('question:updated', guard, 'question:hide', { question });
  });

  test('what is said is kept in order by staff', async () => {
    const say = async (text) => (await done(asha, 'chat:send', { text })).message;
    const { object: message } = await told('chat:message', asha, 'chat:send', { text: 'hello' });
    assert.deepEqual((await told('chat:pinned', guard, 'chat:pin', { message: message.id })).object.message, message);
    assert.equal((await told('chat:pinned', guard, 'chat:unpin', { message: message.id })).object.message, null);
    assert.deepEqual((await done(asha, 'stream:history')).messages, [message]);
    await told('chat:deleted', guard, 'chat:delete', { message: message.id });
    await told('notice', host, 'notice:send', { text: 'Five minutes' });

    await done(guard, 'words:set', { words: ['spam'], action: 'hold' });
    for (const [command, text] of [['chat:approve', 'spam one'], ['chat:reject', 'spam two']]) {
      const held = once(guard, 'chat:held');
      assert.equal((await done(asha, 'chat:send', { text })).held, true);
      const [{ message: waits }] = await held;
      assert.equal(waits.text, text);
      if (command === 'chat:approve') assert.equal((await told('chat:message', guard, command, { message: waits.id })).object.id, waits.id);
      else await done(guard, command, { message: waits.id });
    }
    assert.equal((await told('chat:mode', guard, 'chat:mode', { slowSeconds: 0, paused: false })).object.paused, false);
    await told('user:muted', guard, 'user:mute', { user: 'asha', seconds: 600 });
    assert.equal((await call(asha, 'chat:send', { stream: STREAM, text: 'muted?' })).error.code, 'muted');
    await done(guard, 'user:unmute', { user: 'asha' });
    await until('she is heard', async () => (await call(asha, 'chat:send', { stream: STREAM, text: 'back' })).ok);
    await say('again');
    await told('user:banned', guard, 'user:ban', { user: 'asha', reason: 'a test' });
    await done(guard, 'user:unban', { user: 'asha' });
    await until('she may come back', async () => (await call(asha, 'stream:join', { stream: STREAM })).ok);
  });

  test('taps are counted, and the end is told', async () => {
    const { answer, object } = await told('reactions', asha, 'reaction:send', { kind: 'heart', count: 5 });
    assert.equal(answer.accepted, 5);
    assert.equal(object.totals.heart, 5);
    await until('the statistics', async () => (await done(host, 'stream:stats')).stats.reactions === 5);
    used.add('auth:refresh');
    await issue(asha, 'auth:refresh', { token: token('asha', { name: 'asha' }) });
    const other = await clients.connect(gateway.url, { token: token('ravi') });
    await done(other, 'stream:join');
    await done(other, 'stream:leave');
    await told('stream:ended', host, 'stream:end');
  });

  test('no command was left out', async () => {
    const { paths } = await (await fetch(`${gateway.url}/v1/openapi.json`)).json();
    const commands = Object.keys(paths).filter((path) => path.startsWith('/v1/commands/'));
    const all = [...commands.map((path) => path.split('/').at(-1)), ...OF_SOCKETS];
    assert.deepEqual([...used].sort(), all.sort());
  });
});
