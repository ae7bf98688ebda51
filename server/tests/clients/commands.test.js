// Commands: their answers, with an ack and without one.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Clients, TRAVEL, call, done, say, supplierToken, token } from './support/client.js';
import { startGateway } from './support/gateway.js';
import { once, until } from './support/wait.js';

describe('commands', () => {
  const clients = new Clients();
  let gateway;
  before(async () => (gateway = await startGateway()));
  after(async () => {
    clients.close();
    await gateway.stop();
  });

  const user = (sub, options) => clients.connect(gateway.url, { token: token(sub, { name: sub }) }, options);

  test('a supplier starts a stream, and its viewers are told', async () => {
    const socket = await clients.connect(gateway.url, { token: supplierToken('opening') });
    await done(socket, 'stream:update', { stream: 'opening', title: 'Soon' });
    const viewer = await clients.viewer(gateway.url, 'opening');
    assert.equal(viewer.joined.state.status, 'scheduled');
    const started = once(viewer, 'stream:started');
    const { state } = await done(socket, 'stream:start', { stream: 'opening', title: 'Sarees' });
    assert.equal(state.id, 'opening');
    assert.equal(state.title, 'Sarees');
    assert.equal(state.status, 'live');
    assert.deepEqual(state.supplier, { id: 'supplier', name: 'Meera' });
    const [event] = await started;
    assert.equal(event.stream, 'opening');
    assert.equal(event.seq, viewer.joined.state.seq + 1);
    assert.equal(event.state.status, 'live');
    assert.equal((await call(socket, 'stream:start', { stream: 'opening' })).error.code, 'conflict');
  });

  for (const [name, options] of Object.entries(TRAVEL)) {
    test(`join, talk, read back, leave: ${name}`, async () => {
      const stream = `talk-${options.transports?.[0] ?? 'both'}`;
      const supplier = await clients.supplier(gateway.url, stream);
      const socket = await user('asha', options);
      const heard = [];
      socket.on('chat:message', (message) => heard.push(message));
      const { state, me, history } = await done(socket, 'stream:join', { stream });
      assert.equal(state.id, stream);
      assert.deepEqual(me, { id: 'asha', name: 'asha', role: 'viewer' });
      assert.deepEqual(history, []);

      const message = await say(socket, stream, '  hello  ');
      assert.match(message.id, /^m.{20}$/);
      assert.equal(message.stream, stream);
      assert.equal(message.seq, state.seq + 1);
      assert.ok(Math.abs(message.at - Date.now()) < 60_000);
      assert.deepEqual(message.user, { id: 'asha', name: 'asha', role: 'viewer' });
      assert.equal(message.text, 'hello');
      await until('the message', () => heard.length === 1);
      assert.deepEqual(heard[0], message);

      for (let number = 0; number < 5; number += 1) await say(socket, stream, `${number}`);
      const page = async (body) =>
        (await done(socket, 'stream:history', { stream, ...body })).messages.map((one) => one.text);
      assert.deepEqual(await page({}), ['hello', '0', '1', '2', '3', '4']);
      assert.deepEqual(await page({ limit: 2 }), ['3', '4']);
      assert.deepEqual(await page({ before: message.seq + 2, limit: 1 }), ['0']);
      const again = await done(socket, 'stream:join', { stream, history: 2 });
      assert.deepEqual(again.history.map((one) => one.text), ['3', '4']);

      await done(socket, 'stream:leave', { stream });
      assert.equal((await call(socket, 'chat:send', { stream, text: 'gone' })).error.code, 'not_joined');
      const before = heard.length;
      await done(supplier, 'stream:join', { stream });
      const later = await say(supplier, stream, 'after');
      await done(socket, 'stream:join', { stream });
      const last = await say(supplier, stream, 'back again');
      await until('the last message', () => heard.at(-1).seq === last.seq);
      assert.deepEqual(heard.slice(before).map((one) => one.seq), [last.seq]);
      assert.equal(last.seq, later.seq + 1);
    });
  }

  test('a message that is sent again with its clientId is the first one', async () => {
    await clients.supplier(gateway.url, 'once');
    const [asha, ravi] = [await user('asha'), await user('ravi')];
    const heard = [];
    for (const socket of [asha, ravi]) await done(socket, 'stream:join', { stream: 'once' });
    ravi.on('chat:message', (message) => heard.push(message.text));
    const send = (socket, text) => done(socket, 'chat:send', { stream: 'once', text, clientId: 'c1' });
    const first = await send(asha, 'first');
    const repeats = await Promise.all([send(asha, 'again'), send(asha, 'and again')]);
    for (const repeat of repeats) assert.deepEqual(repeat, first);
    const others = await send(ravi, 'mine');
    assert.equal(others.message.seq, first.message.seq + 1);
    await until('both messages', () => heard.length === 2);
    assert.deepEqual(heard, ['first', 'mine']);
  });

  test('a reply shows what it answers', async () => {
    await clients.supplier(gateway.url, 'replies');
    const socket = await user('asha');
    await done(socket, 'stream:join', { stream: 'replies' });
    const { id } = await say(socket, 'replies', 'how much?');
    const { message } = await done(socket, 'chat:send', { stream: 'replies', text: 'a lot', replyTo: id });
    assert.deepEqual(message.replyTo, { id, name: 'asha', text: 'how much?' });
  });

  test('what cannot be done is answered with a code', async () => {
    await clients.supplier(gateway.url, 'refusals');
    const socket = await user('asha');
    const code = async (command, body) => {
      const answer = await call(socket, command, body);
      assert.equal(answer.ok, false);
      assert.equal(typeof answer.error.message, 'string');
      return answer.error.code;
    };
    assert.equal(await code('no:such', {}), 'not_found');
    assert.equal(await code('stream:join', { stream: 'nowhere' }), 'not_found');
    assert.equal(await code('stream:join', {}), 'bad_request');
    assert.equal(await code('stream:join', 'main'), 'bad_request');
    assert.equal(await code('chat:send', { stream: 'refusals', text: 'x' }), 'not_joined');
    assert.equal(await code('stream:start', { stream: 'refusals' }), 'forbidden');
    assert.equal(await code('stream:end', { stream: 'refusals' }), 'forbidden');
    await done(socket, 'stream:join', { stream: 'refusals' });
    assert.equal(await code('chat:send', { stream: 'refusals', text: '   ' }), 'bad_request');
    assert.equal(await code('chat:send', { stream: 'refusals', text: 'x'.repeat(501) }), 'too_large');
    assert.ok(socket.connected);
  });

  test('after its end a stream takes no messages', async () => {
    const supplier = await clients.supplier(gateway.url, 'over');
    const viewer = await clients.viewer(gateway.url, 'over', { token: token('asha') });
    const ended = once(viewer, 'stream:ended');
    assert.equal((await done(supplier, 'stream:end', { stream: 'over' })).state.status, 'ended');
    assert.equal((await ended)[0].state.status, 'ended');
    assert.equal((await call(viewer, 'chat:send', { stream: 'over', text: 'x' })).error.code, 'ended');
  });

  test('without an ack an error comes as an event, and success says nothing', async () => {
    const supplier = await clients.supplier(gateway.url, 'quiet');
    const socket = await user('asha');
    const errors = [];
    socket.on('error:command', (error) => errors.push(error));
    socket.emit('chat:send', { stream: 'quiet', text: 'too early' });
    await until('the error', () => errors.length === 1);
    assert.equal(errors[0].command, 'chat:send');
    assert.equal(errors[0].error.code, 'not_joined');
    assert.equal(typeof errors[0].error.message, 'string');

    await done(supplier, 'stream:join', { stream: 'quiet' });
    socket.emit('stream:join', { stream: 'quiet' });
    socket.emit('chat:send', { stream: 'quiet', text: 'in time' });
    const [message] = await once(supplier, 'chat:message');
    assert.equal(message.text, 'in time');
    assert.equal((await call(socket, 'no:such', {})).error.code, 'not_found');
    assert.equal(errors.length, 1);
  });

  test('bytes are answered with an error, and the connection stays', async () => {
    const supplier = await clients.supplier(gateway.url, 'bytes');
    for (const [name, options] of Object.entries(TRAVEL)) {
      const socket = await user('asha', options);
      await done(socket, 'stream:join', { stream: 'bytes' });
      let closed;
      socket.on('disconnect', (reason) => (closed = reason));
      const bodies = [
        { stream: 'bytes', text: Buffer.from('hello') },
        Buffer.from([0, 1, 2, 255]),
        { stream: 'bytes', text: 'x', more: [new Uint8Array(1000), new ArrayBuffer(3)] },
      ];
      for (const body of bodies) {
        assert.equal((await call(socket, 'chat:send', body)).error.code, 'bad_request', name);
        const error = once(socket, 'error:command');
        socket.emit('chat:send', body);
        assert.equal((await error)[0].command, 'chat:send');
      }
      assert.equal((await say(socket, 'bytes', 'still here')).text, 'still here');
      assert.equal(closed, undefined);
    }
    assert.ok(supplier.connected);
  });

  test('commands are done in the order in which they were sent', async () => {
    await clients.supplier(gateway.url, 'sequence');
    for (const options of Object.values(TRAVEL)) {
      const socket = await user('asha', options);
      socket.emit('stream:join', { stream: 'sequence' });
      const texts = Array.from({ length: 50 }, (_, number) => `${number}`);
      const sent = await Promise.all(texts.map((text) => say(socket, 'sequence', text)));
      assert.deepEqual(sent.map((message) => message.text), texts);
      const first = sent[0].seq;
      assert.deepEqual(sent.map((message) => message.seq), texts.map((_, place) => first + place));
    }
  });
});
