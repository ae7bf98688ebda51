// haat and Node's server on one Redis are one server, whichever of its two adapters Node uses.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { startGateway } from '../clients/support/gateway.js';
import { supplierToken } from '../clients/support/token.js';
import { once, until } from '../clients/support/wait.js';
import { People, done, heard, heardAll } from './support/people.js';
import { MODES, emitter, skip, startNode, startRedis } from './support/redis.js';

const STREAM = 'main';
const ROOM = `stream:${STREAM}`;
/** What crosses from Node to haat as it is. */
const VALUES = { text: 'नमस्ते 🎉', number: -1.5, big: 2 ** 40, none: null, yes: true, list: [1, ['a', {}]], '': 'no name' };

for (const mode of Object.keys(MODES)) {
  describe(mode, { skip }, () => {
    const people = new People();
    let redis, gateway, node, viewer, guest;

    before(async () => {
      redis = await startRedis();
      const variables = { HAAT_REDIS_URL: redis.url, HAAT_REDIS_MODE: mode, HAAT_REDIS_NODE_PEERS: 'always' };
      gateway = await startGateway(variables);
      node = await startNode(redis, mode);
      const supplier = await people.connect(gateway.url, { token: supplierToken(STREAM) });
      await done(supplier, 'stream:start', { stream: STREAM, title: 'Sale' });
      await until('each knows of the other', async () => (await node.io.of('/').adapter.serverCount()) === 2);
    });

    after(async () => {
      people.close();
      await node?.stop();
      await gateway?.stop();
      await redis?.stop();
    });

    /** A viewer of haat, and somebody of Node in the same room. */
    async function meet(options) {
      viewer = await people.viewer(gateway.url, STREAM, 'asha', options);
      guest = await people.connect(node.url, {}, options);
      await guest.emitWithAck('enter', ROOM);
      // What is published from here on reaches haat.
      await until('haat listens', async () => {
        node.io.to(ROOM).emit('hello', 1);
        return heard(viewer, 'hello').length > 0;
      });
      await new Promise((resolve) => setTimeout(resolve, 50));
      [viewer, guest].forEach((socket) => (socket.heard.length = 0));
    }

    afterEach(() => [viewer, guest].forEach((socket) => socket?.disconnect()));

    test('what is said on haat reaches the clients of Node, in order and once', async () => {
      await meet();
      for (let number = 0; number < 50; number++) await done(viewer, 'chat:send', { stream: STREAM, text: `${number}` });
      for (const socket of [viewer, guest]) {
        await until('all of it', () => heard(socket, 'chat:message').length >= 50);
        assert.deepEqual(heard(socket, 'chat:message').map(({ text }) => text), Array.from({ length: 50 }, (_, number) => `${number}`));
      }
      assert.deepEqual(heard(guest, 'chat:message'), heard(viewer, 'chat:message'));
    });

    test('what Node emits reaches the viewers of haat, bytes and all', async () => {
      await meet();
      const bytes = Buffer.from([0, 1, 254, 255]);
      node.io.to(ROOM).emit('promo', VALUES, 'and a text');
      node.io.to(ROOM).emit('picture', bytes, { nested: [bytes, { deep: bytes }] });
      node.io.emit('everybody');
      node.io.to([ROOM, 'user:asha']).emit('once', 1);
      node.io.except(ROOM).emit('others', 1);
      node.io.to('user:asha').emit('personal', 1);
      node.io.to('stream:other').emit('elsewhere', 1);
      node.io.to(ROOM).emit('end', 1);
      for (const socket of [viewer, guest]) {
        await until('all of it', () => heard(socket, 'end').length > 0);
        const args = (name) => heardAll(socket, name);
        assert.deepEqual(args('promo')[0].slice(0, 2), [VALUES, 'and a text']);
        assert.deepEqual(args('picture'), [[bytes, { nested: [bytes, { deep: bytes }] }]]);
        for (const name of ['everybody', 'once']) assert.equal(args(name).length, 1, name);
        for (const name of ['others', 'elsewhere']) assert.equal(args(name).length, 0, name);
      }
      assert.deepEqual(heardAll(viewer, 'personal'), [[1]]);
      const maybe = () => node.io.volatile.to(ROOM).emit('maybe', 1) && heard(viewer, 'maybe').length > 0;
      await until('what may be dropped comes as well', maybe);
    });

    test('a client of haat that polls gets all of it as well', async () => {
      await meet({ transports: ['polling'] });
      const bytes = Buffer.from([0, 1, 254, 255]);
      node.io.to(ROOM).emit('picture', bytes);
      await until('it came', () => heard(viewer, 'picture').length > 0);
      assert.deepEqual(heardAll(viewer, 'picture'), [[bytes]]);
    });

    test('clients of both acknowledge what Node asks', async () => {
      await meet();
      const bytes = Buffer.from([1, 2, 3]);
      viewer.on('question', (word, picture, answer) => answer({ from: 'haat', word, size: picture.byteLength }));
      guest.on('question', (word, picture, answer) => answer({ from: 'node', word, size: picture.length }));
      const answers = await node.io.to(ROOM).timeout(10_000).emitWithAck('question', 'how many?', bytes);
      const expected = ['haat', 'node'].map((from) => ({ from, word: 'how many?', size: 3 }));
      assert.deepEqual(answers.sort((a, b) => a.from.localeCompare(b.from)), expected);
      assert.deepEqual(await node.io.to('stream:nobody').timeout(10_000).emitWithAck('question', 'anybody?'), []);
    });

    test('Node finds the sockets of haat, and they say who they are', async () => {
      await meet();
      const found = await node.io.in(ROOM).fetchSockets();
      assert.deepEqual(found.map(({ id }) => id).sort(), [viewer.id, guest.id].sort());
      const asha = found.find(({ id }) => id === viewer.id);
      assert.deepEqual([...asha.rooms].sort(), [viewer.id, ROOM, 'user:asha'].sort());
      assert.equal(typeof asha.handshake.address, 'string');
      assert.equal((await node.io.in(viewer.id).fetchSockets()).length, 1);
      assert.equal((await node.io.in('stream:nobody').fetchSockets()).length, 0);
      asha.emit('you', 1);
      await until('it came', () => heard(viewer, 'you').length > 0);
      assert.equal(heard(guest, 'you').length, 0);
    });

    test('Node puts sockets of haat into rooms, and takes them out', async () => {
      await meet();
      const rooms = async () => [...(await node.io.in(viewer.id).fetchSockets())[0].rooms];
      node.io.in('user:asha').socketsJoin(['vip', 'gold']);
      await until('she is in', async () => (await rooms()).includes('gold'));
      await until('it came', () => node.io.to('vip').emit('welcome', 1) && heard(viewer, 'welcome').length > 0);
      node.io.in('gold').socketsLeave('vip');
      await until('she is out', async () => !(await rooms()).includes('vip'));
      node.io.to('vip').emit('too late', 1);
      node.io.to('gold').emit('end', 1);
      await until('it came', () => heard(viewer, 'end').length > 0);
      assert.equal(heard(viewer, 'too late').length, 0);
    });

    test('Node sends a client of haat away for good', async () => {
      await meet();
      const gone = once(viewer, 'disconnect');
      node.io.in('user:asha').disconnectSockets(true);
      assert.equal((await gone)[0], 'io server disconnect');
      assert.equal(guest.connected, true);
    });

    test('haat answers events between servers at once, if only with nothing', async () => {
      await meet();
      // Without an answer it would be an error, as soon as Node does not wait any longer.
      const answers = await node.io.serverSideEmitWithAck('who is there?', 'node');
      assert.equal(answers.length, 1);
      node.io.serverSideEmit('just so you know', { of: 'this' });
    });

    test('an event of Node that ends with a text costs nobody their session', async () => {
      await meet();
      await done(viewer, 'chat:send', { stream: STREAM, text: 'the last thing that counts' });
      node.io.to(ROOM).emit('notice', 'only a text');
      node.io.to(ROOM).emit('ping');
      await until('it came', () => heard(viewer, 'ping').length > 0 || heardAll(viewer, 'ping').length > 0);
      const { id } = viewer;
      viewer.io.engine.close();
      await once(viewer, 'connect');
      assert.deepEqual([viewer.recovered, viewer.id], [true, id]);
      assert.equal(heard(viewer, 'chat:message').length, 1);
    });
  });
}

describe('the emitter', { skip }, () => {
  const people = new People();
  let redis, gateway;

  before(async () => {
    redis = await startRedis();
    gateway = await startGateway({ HAAT_REDIS_URL: redis.url, HAAT_REDIS_NODE_PEERS: 'always' });
    const supplier = await people.connect(gateway.url, { token: supplierToken(STREAM) });
    await done(supplier, 'stream:start', { stream: STREAM, title: 'Sale' });
  });

  after(async () => {
    people.close();
    await gateway?.stop();
    await redis?.stop();
  });

  test('reaches the viewers of haat, one by one and all together', async () => {
    const io = await emitter(redis);
    const viewer = await people.viewer(gateway.url, STREAM, 'ravi');
    await until('haat listens', () => io.to(ROOM).emit('hello', 1) && heard(viewer, 'hello').length > 0);
    const bytes = Buffer.from([9, 8, 7]);
    io.to(ROOM).emit('promo', VALUES);
    io.emit('picture', bytes);
    io.to(viewer.id).emit('personal', 1);
    io.in(ROOM).socketsJoin('vip');
    await until('it came', () => io.to('vip').emit('welcome', 1) && heard(viewer, 'welcome').length > 0);
    assert.deepEqual(heardAll(viewer, 'promo'), [[VALUES]]);
    assert.deepEqual(heardAll(viewer, 'picture'), [[bytes]]);
    assert.deepEqual(heardAll(viewer, 'personal'), [[1]]);
    io.serverSideEmit('just so you know', 1);
    const gone = once(viewer, 'disconnect');
    io.in(ROOM).disconnectSockets();
    assert.equal((await gone)[0], 'io server disconnect');
  });
});

describe('a fleet that is not told of Node', { skip }, () => {
  test('finds Node servers by itself, and forgets them', async (t) => {
    const redis = await startRedis();
    t.after(() => redis.stop());
    const people = new People();
    t.after(() => people.close());
    const gateway = await startGateway({ HAAT_REDIS_URL: redis.url });
    t.after(() => gateway.stop());
    const supplier = await people.connect(gateway.url, { token: supplierToken(STREAM) });
    await done(supplier, 'stream:start', { stream: STREAM, title: 'Sale' });
    const node = await startNode(redis, 'classic');
    t.after(() => node.stop());
    const guest = await people.connect(node.url);
    await guest.emitWithAck('enter', ROOM);
    const viewer = await people.viewer(gateway.url, STREAM, 'asha');
    await until('it reaches Node', async () => {
      await done(viewer, 'chat:send', { stream: STREAM, text: 'Anybody?' });
      return heard(guest, 'chat:message').length > 0;
    });
    // Viewers of haat get it once all the same.
    const seqs = heard(viewer, 'chat:message').map(({ seq }) => seq);
    assert.deepEqual(seqs, [...new Set(seqs)]);
  });
});
