// Connections that break, and come back as the same session: what the official client makes of it, unmodified.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Clients, TRAVEL, done, say, token, transport } from './support/client.js';
import { startGateway } from './support/gateway.js';
import { startProxy } from './support/proxy.js';
import { once, settled, until } from './support/wait.js';

describe('recovery', { concurrency: true }, () => {
  const clients = new Clients();
  let gateway;
  before(async () => (gateway = await startGateway()));
  after(async () => {
    clients.close();
    await gateway.stop();
  });

  /** A stream with its supplier in it, and a viewer behind a proxy. */
  async function scene(context, stream, options, auth = {}) {
    const proxy = await startProxy(gateway.port);
    context.after(() => proxy.close());
    const supplier = await clients.supplier(gateway.url, stream);
    await done(supplier, 'stream:join', { stream });
    const viewer = await clients.viewer(proxy.url, stream, auth, options);
    await settled(viewer);
    return { proxy, supplier, viewer, id: viewer.id };
  }

  /** Lets the viewer come back through the proxy. */
  async function back(proxy, viewer) {
    const connected = once(viewer, 'connect');
    proxy.mend();
    await connected;
  }

  const texts = (viewer) => viewer.heard.map((message) => message.text);
  const seqs = (viewer) => viewer.heard.map((message) => message.seq);

  for (const [name, options] of Object.entries(TRAVEL)) {
    const stream = `cut-${options.transports?.[0] ?? 'both'}`;

    test(`a cut connection comes back with all that it missed: ${name}`, async (context) => {
      const { proxy, supplier, viewer, id } = await scene(context, stream, options);
      const first = await say(supplier, stream, 'before');
      await until('the first message', () => viewer.heard.length === 1);
      for (let round = 0; round < 3; round += 1) {
        const gone = once(viewer, 'disconnect');
        proxy.cut();
        assert.notEqual((await gone)[0], 'io server disconnect');
        for (let number = 0; number < 10; number += 1) await say(supplier, stream, `away ${round}/${number}`);
        await back(proxy, viewer);
        assert.equal(viewer.recovered, true);
        assert.equal(viewer.id, id);
        await say(supplier, stream, `back ${round}`);
        await until('what came after', () => texts(viewer).at(-1) === `back ${round}`);
      }
      assert.deepEqual(seqs(viewer), Array.from({ length: 34 }, (_, place) => first.seq + place));
      assert.equal((await done(viewer, 'stream:history', { stream, limit: 1 })).messages[0].text, 'back 2');
    });

    test(`it works before the first message came: ${name}`, async (context) => {
      const { proxy, supplier, viewer, id } = await scene(context, `${stream}-early`, options);
      const gone = once(viewer, 'disconnect');
      proxy.cut();
      await gone;
      for (let number = 0; number < 3; number += 1) await say(supplier, `${stream}-early`, `${number}`);
      await back(proxy, viewer);
      assert.equal(viewer.recovered, true);
      assert.equal(viewer.id, id);
      await say(supplier, `${stream}-early`, 'after');
      await until('the message after', () => texts(viewer).at(-1) === 'after');
      assert.deepEqual(texts(viewer), ['0', '1', '2', 'after']);
    });

    test(`the newer connection wins while the old one looks alive: ${name}`, async (context) => {
      const { proxy, supplier, viewer, id } = await scene(context, `${stream}-alive`, options);
      await say(supplier, `${stream}-alive`, 'before');
      await until('the first message', () => viewer.heard.length === 1);
      const gone = once(viewer, 'disconnect');
      proxy.abandon();
      await gone;
      await say(supplier, `${stream}-alive`, 'perhaps to the old one');
      await back(proxy, viewer);
      assert.equal(viewer.recovered, true);
      assert.equal(viewer.id, id);
      await say(supplier, `${stream}-alive`, 'after');
      await until('the message after', () => texts(viewer).at(-1) === 'after');
      assert.deepEqual(texts(viewer), ['before', 'perhaps to the old one', 'after']);
      // The old connection is gone for good: only the new one is left, or its polls.
      if (transport(viewer) === 'websocket') await until('one connection', () => proxy.count() === 1);
    });
  }

  test('a client that does not come back as itself is somebody new', async (context) => {
    const auth = { token: token('asha') };
    const { proxy, supplier, viewer, id } = await scene(context, 'others', {}, (give) => give(auth));
    await say(supplier, 'others', 'before');
    await until('the first message', () => viewer.heard.length === 1);
    for (const other of [{ token: token('ravi') }, {}]) {
      const gone = once(viewer, 'disconnect');
      proxy.cut();
      await gone;
      auth.token = other.token;
      await back(proxy, viewer);
      assert.equal(viewer.recovered, false);
      assert.notEqual(viewer.id, id);
      const { me } = await done(viewer, 'stream:join', { stream: 'others' });
      assert.notEqual(me.id, 'asha');
    }
  });

  test('the same user with a newer token comes back', async (context) => {
    const auth = { token: token('asha') };
    const { proxy, viewer, id } = await scene(context, 'renewed', {}, (give) => give(auth));
    const gone = once(viewer, 'disconnect');
    proxy.cut();
    await gone;
    auth.token = token('asha', { name: 'Asha B.' });
    await back(proxy, viewer);
    assert.equal(viewer.recovered, true);
    assert.equal(viewer.id, id);
  });

  test('a gap that is longer than the log is no recovery', async (context) => {
    const { proxy, supplier, viewer, id } = await scene(context, 'long');
    await say(supplier, 'long', 'before');
    await until('the first message', () => viewer.heard.length === 1);
    const gone = once(viewer, 'disconnect');
    proxy.cut();
    await gone;
    let last;
    for (let number = 0; number < 4200; number += 100) {
      const batch = Array.from({ length: 100 }, (_, place) => say(supplier, 'long', `${number + place}`));
      last = (await Promise.all(batch)).at(-1);
    }
    await back(proxy, viewer);
    assert.equal(viewer.recovered, false);
    assert.notEqual(viewer.id, id);
    assert.deepEqual(texts(viewer), ['before'], 'nothing in part');
    const { state, history } = await done(viewer, 'stream:join', { stream: 'long', history: 3 });
    assert.equal(state.seq, last.seq);
    assert.deepEqual(history.map((message) => message.text), ['4197', '4198', '4199']);
  });

  test('several streams come back together, in the order of all', async (context) => {
    const { proxy, supplier, viewer } = await scene(context, 'one');
    const other = await clients.supplier(gateway.url, 'two');
    await done(other, 'stream:join', { stream: 'two' });
    await done(viewer, 'stream:join', { stream: 'two' });
    await say(other, 'two', 'two before');
    await say(supplier, 'one', 'one before');
    await until('both messages', () => viewer.heard.length === 2);
    const gone = once(viewer, 'disconnect');
    proxy.cut();
    await gone;
    for (let number = 0; number < 5; number += 1) {
      await say(supplier, 'one', `one ${number}`);
      await say(other, 'two', `two ${number}`);
    }
    await back(proxy, viewer);
    assert.equal(viewer.recovered, true);
    await say(other, 'two', 'after');
    await until('the message after', () => texts(viewer).at(-1) === 'after');
    const missed = Array.from({ length: 5 }, (_, number) => [`one ${number}`, `two ${number}`]).flat();
    assert.deepEqual(texts(viewer), ['two before', 'one before', ...missed, 'after']);
  });

  test('a stream that was left does not come back', async (context) => {
    const { proxy, supplier, viewer } = await scene(context, 'left');
    await say(supplier, 'left', 'before');
    await until('the first message', () => viewer.heard.length === 1);
    await done(viewer, 'stream:leave', { stream: 'left' });
    const gone = once(viewer, 'disconnect');
    proxy.cut();
    await gone;
    await say(supplier, 'left', 'away');
    await back(proxy, viewer);
    assert.equal(viewer.recovered, true);
    await say(supplier, 'left', 'after');
    await done(viewer, 'stream:join', { stream: 'left' });
    await say(supplier, 'left', 'joined again');
    await until('the last message', () => texts(viewer).at(-1) === 'joined again');
    assert.deepEqual(texts(viewer), ['before', 'joined again']);
  });

  test('a client that said goodbye is new when it returns', async () => {
    await clients.supplier(gateway.url, 'goodbye');
    const viewer = await clients.viewer(gateway.url, 'goodbye');
    const { id } = viewer;
    viewer.disconnect();
    viewer.connect();
    await once(viewer, 'connect');
    assert.equal(viewer.recovered, false);
    assert.notEqual(viewer.id, id);
  });

  test('commands that are sent while away are done after the return', async (context) => {
    const { proxy, viewer } = await scene(context, 'buffered', {}, { token: token('asha') });
    const gone = once(viewer, 'disconnect');
    proxy.cut();
    await gone;
    const sent = [1, 2, 3].map((number) => say(viewer, 'buffered', `${number}`));
    await back(proxy, viewer);
    assert.equal(viewer.recovered, true);
    assert.deepEqual((await Promise.all(sent)).map((message) => message.text), ['1', '2', '3']);
    await until('all three', () => viewer.heard.length === 3);
    assert.deepEqual(texts(viewer), ['1', '2', '3']);
  });
});

test('without recovery everybody who returns is new, and events carry no offset', async (context) => {
  const clients = new Clients();
  const gateway = await startGateway({ HAAT_RECOVERY_SECONDS: '0' });
  const proxy = await startProxy(gateway.port);
  context.after(async () => {
    clients.close();
    await proxy.close();
    await gateway.stop();
  });
  const supplier = await clients.supplier(gateway.url, 'main');
  await done(supplier, 'stream:join', { stream: 'main' });
  const viewer = await clients.viewer(proxy.url, 'main');
  await settled(viewer);
  const event = once(viewer, 'chat:message');
  await say(supplier, 'main', 'hello');
  assert.equal((await event).length, 1);
  const gone = once(viewer, 'disconnect');
  proxy.cut();
  await gone;
  const connected = once(viewer, 'connect');
  proxy.mend();
  await connected;
  assert.ok(!viewer.recovered);
});
