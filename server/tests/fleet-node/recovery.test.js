// The official client, unmodified, goes on as the same session on another gateway.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startGateway } from '../clients/support/gateway.js';
import { startProxy } from '../clients/support/proxy.js';
import { supplierToken, token } from '../clients/support/token.js';
import { once, settled, until } from '../clients/support/wait.js';
import { People, done, heard } from './support/people.js';
import { skip, startRedis } from './support/redis.js';

const STREAM = 'main';
const TRAVEL = { WebSocket: { transports: ['websocket'] }, 'polling, then WebSocket': {}, polling: { transports: ['polling'] } };

/** Two gateways, a way to one of them at a time, and a supplier on the second. */
async function fleet(t) {
  const redis = await startRedis();
  t.after(() => redis.stop());
  const variables = { HAAT_REDIS_URL: redis.url };
  const gateways = await Promise.all([startGateway(variables), startGateway(variables)]);
  t.after(() => Promise.all(gateways.map((gateway) => gateway.stop())));
  const way = await startProxy(gateways[0].port);
  t.after(() => way.close());
  const people = new People();
  t.after(() => people.close());
  const supplier = await people.connect(gateways[1].url, { token: supplierToken(STREAM) });
  await done(supplier, 'stream:start', { stream: STREAM, title: 'Sale' });
  await done(supplier, 'stream:join', { stream: STREAM });
  return { gateways, way, people, supplier };
}

for (const [name, options] of Object.entries(TRAVEL)) {
  describe(name, { skip }, () => {
    test('a client recovers on another gateway after kill -9', async (t) => {
      const { gateways, way, people, supplier } = await fleet(t);
      const say = async (text) => (await done(supplier, 'chat:send', { stream: STREAM, text })).message;
      const viewer = await people.viewer(way.url, STREAM, 'asha', options);
      await settled(viewer);
      const said = [await say('before')];
      await until('it came', () => heard(viewer, 'chat:message').length === 1);
      const { id } = viewer;
      const broken = once(viewer, 'disconnect');
      way.cut();
      await gateways[0].stop();
      await broken;
      for (let number = 0; number < 20; number++) said.push(await say(`meanwhile ${number}`));
      way.lead(gateways[1].port);
      await once(viewer, 'connect');
      assert.deepEqual([viewer.recovered, viewer.id], [true, id]);
      said.push(await say('after'));
      await until('all of it', () => heard(viewer, 'chat:message').length >= said.length);
      assert.deepEqual(heard(viewer, 'chat:message'), said);
      // And it is somebody who may speak.
      await done(viewer, 'chat:send', { stream: STREAM, text: 'I never left' });
    });

    test('before the first message came, too, but never as somebody else', async (t) => {
      const { gateways, way, people, supplier } = await fleet(t);
      const viewer = await people.viewer(way.url, STREAM, 'asha', options);
      const ravi = await people.viewer(way.url, STREAM, 'ravi', options);
      await settled(viewer, ravi);
      const { id } = viewer;
      const broken = Promise.all([once(viewer, 'disconnect'), once(ravi, 'disconnect')]);
      way.cut();
      await gateways[0].stop();
      await broken;
      ravi.auth = { token: token('mallory') };
      const { message } = await done(supplier, 'chat:send', { stream: STREAM, text: 'meanwhile' });
      const back = Promise.all([once(viewer, 'connect'), once(ravi, 'connect')]);
      way.lead(gateways[1].port);
      await back;
      assert.deepEqual([viewer.recovered, viewer.id], [true, id]);
      assert.deepEqual(heard(viewer, 'chat:message'), [message]);
      assert.equal(ravi.recovered, false);
      assert.deepEqual(heard(ravi, 'chat:message'), []);
    });
  });
}

test('a client is moved to another gateway by a drain', { skip }, async (t) => {
  const { gateways, way, people, supplier } = await fleet(t);
  const viewer = await people.viewer(way.url, STREAM, 'asha');
  await settled(viewer);
  const { id } = viewer;
  const told = once(viewer, 'server:draining');
  const back = once(viewer, 'connect', 60_000);
  gateways[0].terminate();
  await told;
  way.lead(gateways[1].port);
  await back;
  assert.deepEqual([viewer.recovered, viewer.id], [true, id]);
  const { message } = await done(supplier, 'chat:send', { stream: STREAM, text: 'after' });
  await until('it came', () => heard(viewer, 'chat:message').length > 0);
  assert.deepEqual(heard(viewer, 'chat:message'), [message]);
  assert.deepEqual(await gateways[0].exited, { code: 0, signal: null });
});
