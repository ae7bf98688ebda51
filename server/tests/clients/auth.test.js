// Who may come in, and how the official client is told that it may not.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { Clients, TRAVEL, call, done, token } from './support/client.js';
import { SECRET, built, startGateway } from './support/gateway.js';
import { once } from './support/wait.js';

describe('auth', () => {
  const clients = new Clients();
  let gateway;
  before(async () => {
    gateway = await startGateway();
    await clients.supplier(gateway.url, 'main');
  });
  after(async () => {
    clients.close();
    await gateway.stop();
  });

  const me = async (socket) => (await done(socket, 'stream:join', { stream: 'main' })).me;

  test('a token says who one is', async () => {
    for (const [name, options] of Object.entries(TRAVEL)) {
      const socket = await clients.connect(gateway.url, { token: token('asha', { name: 'Asha' }) }, options);
      assert.deepEqual(await me(socket), { id: 'asha', name: 'Asha', role: 'viewer' }, name);
    }
  });

  test('a token of the command line is good', async () => {
    const args = ['token', '--sub', 'ravi', '--name', 'Ravi', '--role', 'moderator', '--streams', 'main'];
    const minted = execFileSync(built('haat'), args, { env: { HAAT_AUTH_SECRET: SECRET }, encoding: 'utf8' }).trim();
    const socket = await clients.connect(gateway.url, { token: minted });
    assert.deepEqual(await me(socket), { id: 'ravi', name: 'Ravi', role: 'moderator' });
  });

  test('without a token one is a guest, who reads and does not write', async () => {
    for (const auth of [undefined, {}, { token: null }, { token: undefined }]) {
      const socket = await clients.connect(gateway.url, auth);
      const { id, role } = await me(socket);
      assert.match(id, /^guest-/);
      assert.equal(role, 'viewer');
      const answer = await call(socket, 'chat:send', { stream: 'main', text: 'hello' });
      assert.equal(answer.error.code, 'unauthorized');
    }
  });

  const bad = {
    'another secret': token('asha', {}, 'another secret of 32 bytes or more, really'),
    expired: token('asha', { exp: Math.floor(Date.now() / 1000) - 3600 }),
    'no algorithm': `${Buffer.from('{"alg":"none"}').toString('base64url')}.${token('asha').split('.')[1]}.`,
    'no token at all': 'gibberish',
    empty: '',
    'a number': 7,
    'an object': { sub: 'asha' },
  };
  for (const [name, wrong] of Object.entries(bad)) {
    test(`a bad token is refused with a connect_error: ${name}`, async () => {
      for (const options of Object.values(TRAVEL)) {
        const socket = clients.make(gateway.url, { token: wrong }, options);
        const [error] = await once(socket, 'connect_error');
        assert.ok(error instanceof Error);
        assert.equal(error.message, 'unauthorized');
        assert.deepEqual(Object.keys(error.data), ['code', 'message']);
        assert.equal(error.data.code, 'unauthorized');
        assert.equal(typeof error.data.message, 'string');
        assert.equal(socket.active, false, 'the official client does not try again by itself');
        socket.disconnect();
      }
    });
  }

  test('one who was refused may try again with another token', async () => {
    let which = bad['another secret'];
    const socket = clients.make(gateway.url, (give) => give({ token: which }));
    await once(socket, 'connect_error');
    which = token('asha');
    socket.connect();
    await once(socket, 'connect');
    assert.equal((await me(socket)).id, 'asha');
  });

  test('a gateway without guests refuses those without a token', async () => {
    const strict = await startGateway({ HAAT_GUESTS: 'false' });
    try {
      const [error] = await once(clients.make(strict.url), 'connect_error');
      assert.equal(error.data.code, 'unauthorized');
      assert.ok((await clients.connect(strict.url, { token: token('asha') })).connected);
    } finally {
      await strict.stop();
    }
  });
});
