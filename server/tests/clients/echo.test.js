// What the gateway can do beyond its commands: any events and namespaces, acks both ways, bytes, volatile events.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Clients, TRAVEL, transport } from './support/client.js';
import { startEcho } from './support/gateway.js';
import { once } from './support/wait.js';

describe('echo', () => {
  const clients = new Clients();
  let echo;
  before(async () => (echo = await startEcho()));
  after(async () => {
    clients.close();
    await echo.stop();
  });

  for (const [name, options] of Object.entries(TRAVEL)) {
    test(`events, acks and bytes go to and fro: ${name}`, async () => {
      const socket = await clients.connect(echo.url, {}, options);
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
      const values = [1, -2.5, 'ü☃🎉', null, true, [], {}, { nested: { deep: ['a', { b: bytes }] } }, bytes];
      const back = once(socket, 'message-back');
      socket.emit('message', ...values);
      assert.deepEqual(await back, values);
      const acked = new Promise((resolve) => socket.emit('message-with-ack', ...values, (...args) => resolve(args)));
      assert.deepEqual(await acked, values);
    });

    test(`the server asks, and the client answers: ${name}`, async () => {
      const socket = await clients.connect(echo.url, {}, options);
      socket.on('question', (number, answer) => answer({ twice: number * 2 }, 'and more'));
      for (const number of [1, 2, 3]) {
        const answer = once(socket, 'answer');
        socket.emit('ask', number);
        assert.deepEqual(await answer, [{ twice: number * 2 }, 'and more']);
      }
    });
  }

  test('namespaces share a connection and nothing else', async () => {
    const main = await clients.connect(echo.url, { who: 'main' });
    const custom = main.io.socket('/custom', { auth: { who: 'custom' } });
    assert.deepEqual(await once(custom, 'auth'), [{ who: 'custom' }]);
    assert.notEqual(main.id, custom.id);
    assert.equal(await custom.emitWithAck('message-with-ack', 'to and fro'), 'to and fro');
    const left = once(main, 'disconnect');
    main.disconnect();
    await left;
    assert.equal(await custom.emitWithAck('message-with-ack', 'still here'), 'still here');
    custom.disconnect();
  });

  test('an unknown namespace is a connect_error', async () => {
    const [error] = await once(clients.make(`${echo.url}/nowhere`), 'connect_error');
    assert.equal(error.message, 'Invalid namespace');
  });
});
