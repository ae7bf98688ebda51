// Tokens that expire while their client is connected.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Clients, call, done, say, token } from './support/client.js';
import { startGateway } from './support/gateway.js';
import { once } from './support/wait.js';

const inSeconds = (seconds) => Math.floor(Date.now() / 1000) + seconds;

describe('expiry', { concurrency: true }, () => {
  const clients = new Clients();
  let gateway;
  before(async () => {
    gateway = await startGateway({ HAAT_AUTH_LEEWAY_SECONDS: '5' });
    await clients.supplier(gateway.url, 'main');
  });
  after(async () => {
    clients.close();
    await gateway.stop();
  });

  test('auth:refresh with a new token keeps the connection', async () => {
    const socket = clients.make(gateway.url, { token: token('asha', { exp: inSeconds(1) }) });
    let closed;
    socket.on('disconnect', (reason) => (closed = reason));
    const [event] = await once(socket, 'token:expired');
    await done(socket, 'stream:join', { stream: 'main' });
    assert.deepEqual(event, {});
    assert.equal((await call(socket, 'auth:refresh', { token: token('ravi') })).error.code, 'unauthorized');
    assert.equal((await call(socket, 'auth:refresh', { token: 'gibberish' })).error.code, 'unauthorized');
    assert.equal((await call(socket, 'auth:refresh', {})).error.code, 'bad_request');
    const again = once(socket, 'token:expired');
    await done(socket, 'auth:refresh', { token: token('asha', { exp: inSeconds(2) }) });
    await again;
    await done(socket, 'auth:refresh', { token: token('asha') });
    assert.equal((await say(socket, 'main', 'still here')).user.id, 'asha');
    assert.equal(closed, undefined);
  });

  test('a guest has no token to refresh', async () => {
    const socket = await clients.connect(gateway.url);
    assert.equal((await call(socket, 'auth:refresh', { token: token('asha') })).error.code, 'unauthorized');
  });

  test('without one it is closed half a minute later, and may come back with a new one', async () => {
    const auth = { token: token('asha', { exp: inSeconds(1) }) };
    const socket = clients.make(gateway.url, (give) => give(auth));
    await once(socket, 'token:expired');
    const { id } = socket;
    const refused = once(socket, 'connect_error', 60_000);
    const [reason] = await once(socket, 'disconnect', 60_000);
    assert.notEqual(reason, 'io server disconnect');
    assert.equal((await refused)[0].data.code, 'unauthorized');
    auth.token = token('asha');
    socket.connect();
    await once(socket, 'connect');
    assert.equal(socket.recovered, true);
    assert.equal(socket.id, id);
  });
});
