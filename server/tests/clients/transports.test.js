// The ways in which the official client travels.

import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';
import { Clients, TRAVEL, done, say, transport } from './support/client.js';
import { startGateway } from './support/gateway.js';
import { once, settled, until } from './support/wait.js';

describe('transports', () => {
  const clients = new Clients();
  let gateway;
  before(async () => (gateway = await startGateway()));
  after(async () => {
    clients.close();
    await gateway.stop();
  });

  test('by default it begins with polling and upgrades', async () => {
    const socket = clients.make(gateway.url);
    assert.equal(transport(socket), 'polling');
    const upgrade = once(socket.io.engine, 'upgrade');
    await once(socket, 'connect');
    await upgrade;
    assert.equal(transport(socket), 'websocket');
    await done(await clients.supplier(gateway.url, 'upgraded'), 'stream:join', { stream: 'upgraded' });
    assert.equal((await done(socket, 'stream:join', { stream: 'upgraded' })).state.status, 'live');
  });

  test('it can begin with WebSocket', async () => {
    const socket = await clients.connect(gateway.url, {}, TRAVEL['WebSocket only']);
    assert.equal(transport(socket), 'websocket');
  });

  test('it can stay with polling', async () => {
    const supplier = await clients.supplier(gateway.url, 'polled');
    const socket = await clients.viewer(gateway.url, 'polled', {}, TRAVEL['polling only']);
    for (let number = 0; number < 20; number += 1) await say(await joined(supplier, 'polled'), 'polled', `${number}`);
    await until('twenty messages', () => socket.heard.length === 20);
    assert.equal(transport(socket), 'polling');
  });

  test('where a proxy does not pass an upgrade on, one that begins with WebSocket polls', async (context) => {
    const proxy = http.createServer((request, response) => {
      const { connection, upgrade, ...headers } = request.headers;
      const out = http.request({ host: '127.0.0.1', port: gateway.port, method: request.method, path: request.url, headers });
      out.on('response', (answer) => answer.pipe(response.writeHead(answer.statusCode, answer.headers)));
      out.on('error', () => response.destroy());
      request.pipe(out);
    });
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    context.after(() => proxy.close() && proxy.closeAllConnections());
    const options = { transports: ['websocket', 'polling'], tryAllTransports: true };
    const supplier = await clients.supplier(gateway.url, 'walled');
    await joined(supplier, 'walled');
    const viewer = await clients.viewer(`http://127.0.0.1:${proxy.address().port}`, 'walled', {}, options);
    assert.equal(transport(viewer), 'polling');
    const message = await say(supplier, 'walled', 'over the wall');
    await until('the message', () => viewer.heard.at(-1)?.id === message.id);
  });

  test('nothing is lost or changes places while it upgrades', async () => {
    const supplier = await clients.supplier(gateway.url, 'busy');
    await joined(supplier, 'busy');
    let talking = true;
    const talk = (async () => {
      for (let number = 0; talking; number += 1) await say(supplier, 'busy', `${number}`);
    })();
    const viewers = await Promise.all(Array.from({ length: 20 }, () => clients.viewer(gateway.url, 'busy')));
    await settled(...viewers);
    talking = false;
    await talk;
    const last = (await say(supplier, 'busy', 'the last')).seq;
    for (const viewer of viewers) {
      await until('the last message', () => viewer.heard.at(-1)?.seq === last);
      const first = viewer.joined.state.seq + 1;
      const seqs = viewer.heard.map((message) => message.seq);
      assert.deepEqual(seqs, Array.from({ length: last - first + 1 }, (_, place) => first + place));
    }
  });

  test('a text of many bytes goes to and fro', async () => {
    const text = '🎉 नमस्ते '.repeat(45);
    const supplier = await clients.supplier(gateway.url, 'wide');
    await joined(supplier, 'wide');
    for (const [name, options] of Object.entries(TRAVEL)) {
      const viewer = await clients.viewer(gateway.url, 'wide', {}, options);
      const message = await say(supplier, 'wide', text);
      assert.equal(message.text, text.trim(), name);
      await until('the message', () => viewer.heard.at(-1)?.text === text.trim());
    }
  });
});

/** The supplier, in its own stream. */
async function joined(supplier, stream) {
  await done(supplier, 'stream:join', { stream });
  return supplier;
}
