// What many clients see of one stream.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Clients, TRAVEL, done, say, token } from './support/client.js';
import { startGateway } from './support/gateway.js';
import { once, until } from './support/wait.js';

describe('many clients', () => {
  const clients = new Clients();
  let gateway;
  before(async () => (gateway = await startGateway({ HAAT_SHARDS: '4' })));
  after(async () => {
    clients.close();
    await gateway.stop();
  });

  test('all of them see one order, whatever they travel by', async () => {
    await clients.supplier(gateway.url, 'main');
    const travels = Object.values(TRAVEL);
    const viewers = await Promise.all(
      Array.from({ length: 12 }, (_, number) => clients.viewer(gateway.url, 'main', {}, travels[number % 3])),
    );
    const senders = await Promise.all(
      Array.from({ length: 6 }, (_, number) =>
        clients.viewer(gateway.url, 'main', { token: token(`sender-${number}`) }, travels[number % 3]),
      ),
    );
    const texts = (number) => Array.from({ length: 40 }, (_, turn) => `${number}/${turn}`);
    await Promise.all(
      senders.map(async (sender, number) => {
        for (const text of texts(number)) await say(sender, 'main', text);
      }),
    );
    const all = [...viewers, ...senders];
    await until('all messages at everybody', () => all.every((client) => client.heard.length === 240));
    const [first] = all;
    assert.deepEqual(
      first.heard.map((message) => message.seq),
      Array.from({ length: 240 }, (_, place) => first.joined.state.seq + 1 + place),
    );
    for (const client of all) assert.deepEqual(client.heard, first.heard);
    for (const [number] of senders.entries()) {
      const theirs = first.heard.filter((message) => message.user.id === `sender-${number}`);
      assert.deepEqual(theirs.map((message) => message.text), texts(number));
    }
  });

  test('two sockets of one page share nothing but the connection', async () => {
    await clients.supplier(gateway.url, 'left', 'right');
    const left = await clients.viewer(gateway.url, 'left', { token: token('asha') });
    const right = await clients.viewer(gateway.url, 'right', { token: token('ravi') });
    await say(left, 'left', 'to the left');
    await say(right, 'right', 'to the right');
    await until('each its own', () => left.heard.length === 1 && right.heard.length === 1);
    assert.deepEqual([left.heard[0].text, right.heard[0].text], ['to the left', 'to the right']);
  });

  test('viewers are counted while they come and go', async () => {
    await clients.supplier(gateway.url, 'count');
    const counts = [];
    const watcher = await clients.viewer(gateway.url, 'count');
    watcher.on('viewers', (event) => {
      assert.equal(event.stream, 'count');
      counts.push(event.count);
    });
    assert.equal(watcher.joined.state.viewers, 1);
    const travels = Object.values(TRAVEL);
    const others = await Promise.all(
      Array.from({ length: 9 }, (_, number) => clients.viewer(gateway.url, 'count', {}, travels[number % 3])),
    );
    await until('ten viewers', () => counts.at(-1) === 10);
    for (const socket of others.slice(0, 6)) socket.disconnect();
    await done(others[8], 'stream:leave', { stream: 'count' });
    await until('three viewers', () => counts.at(-1) === 3);
    await clients.viewer(gateway.url, 'count');
    await until('four viewers', () => counts.at(-1) === 4);
  });

  test('a client that leaves is not reconnected, and is not kept', async () => {
    await clients.supplier(gateway.url, 'leave');
    const socket = await clients.viewer(gateway.url, 'leave');
    const gone = once(socket, 'disconnect');
    socket.disconnect();
    assert.equal((await gone)[0], 'io client disconnect');
    assert.equal(socket.active, false);
  });
});
