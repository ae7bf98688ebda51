// A fleet behind a load balancer that is not sticky, and the official client as it comes: polling first, then WebSocket.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Clients, TRAVEL, done, say, transport } from './support/client.js';
import { missing, startFleet } from './support/fleet.js';
import { once, settled, until } from './support/wait.js';

/** The numbers that these clients have to have heard since they joined, up to the last. */
async function complete(viewers, last) {
  for (const viewer of viewers) {
    await until('the last message', () => viewer.heard.at(-1)?.seq === last);
    const first = viewer.joined.state.seq + 1;
    const seqs = viewer.heard.map((message) => message.seq);
    assert.deepEqual(seqs, Array.from({ length: last - first + 1 }, (_, place) => first + place));
  }
}

describe('a fleet behind a balancer that is not sticky', { skip: missing }, () => {
  const clients = new Clients();
  let fleet;
  before(async () => (fleet = await startFleet(3)));
  after(async () => {
    clients.close();
    await fleet?.stop();
  });

  for (const [name, options] of Object.entries(TRAVEL)) {
    const stream = `fleet-${options.transports?.[0] ?? 'both'}`;

    test(`nothing is lost or changes places: ${name}`, async () => {
      const supplier = await clients.supplier(fleet.url, stream);
      await done(supplier, 'stream:join', { stream });
      let talking = true;
      const talk = (async () => {
        for (let number = 0; talking; number += 1) await say(supplier, stream, `${number}`);
      })();
      const viewers = await Promise.all(Array.from({ length: 15 }, () => clients.viewer(fleet.url, stream, {}, options)));
      await settled(...viewers);
      talking = false;
      await talk;
      await complete(viewers, (await say(supplier, stream, 'the last')).seq);
      for (const viewer of viewers) {
        assert.equal((await done(viewer, 'stream:history', { stream, limit: 1 })).messages.length, 1);
      }
    });
  }

  test('most of it went over a hop, and none of that was refused', async () => {
    assert.ok((await fleet.metric('haat_hops_total')) > 50);
    assert.equal(await fleet.metric('haat_rejects_total'), 0);
  });
});

describe('a fleet that loses a gateway', { skip: missing }, () => {
  const clients = new Clients();
  let fleet;
  before(async () => (fleet = await startFleet(3, { HAAT_DRAIN_SECONDS: '3' })));
  after(async () => {
    clients.close();
    await fleet?.stop();
  });

  const ways = { killed: (gateway) => gateway.stop(), drained: (gateway) => gateway.terminate() };
  for (const [stream, end] of Object.entries(ways)) {
    test(`those who were on it, and those who passed through it, go on: ${stream}`, async () => {
      const supplier = await clients.supplier(fleet.url, stream);
      await done(supplier, 'stream:join', { stream });
      const viewers = await Promise.all(Array.from({ length: 12 }, () => clients.viewer(fleet.url, stream)));
      await settled(supplier, ...viewers);
      const ids = viewers.map((viewer) => viewer.id);
      let left = 0;
      for (const viewer of viewers) viewer.on('disconnect', () => (left += 1));
      // The supplier speaks on whatever happens: a repetition is told by its id.
      const speak = async (text) => {
        const answer = await supplier.timeout(5000).emitWithAck('chat:send', { stream, text, clientId: text }).catch(() => ({}));
        return answer.message;
      };
      let talking = true;
      const talk = (async () => {
        for (let number = 0; talking; number += 1) await until('a word', () => speak(`${number}`));
      })();
      const gateway = fleet.gateways.shift();
      fleet.balancer.leaveOut(gateway.port);
      await end(gateway);
      await gateway.exited;
      await until('somebody to lose the connection', () => left > 0);
      await until('everybody to be back', () => viewers.every((viewer) => viewer.connected));
      talking = false;
      await talk;
      await complete(viewers, (await until('a last word', () => speak('the last'))).seq);
      assert.deepEqual(viewers.map((viewer) => viewer.id), ids);
    });
  }
});

describe('a fleet that passes nothing on', { skip: missing }, () => {
  const clients = new Clients();
  let fleet;
  before(async () => (fleet = await startFleet(2, { HAAT_PEER_LISTEN: 'off' })));
  after(async () => {
    clients.close();
    await fleet?.stop();
  });

  test('polling needs a sticky balancer then, WebSocket does not', async () => {
    const polling = clients.make(fleet.url, {}, { reconnection: false });
    assert.equal((await once(polling.io, 'close'))[0], 'transport error');
    await done(await clients.supplier(fleet.gateways[0].url, 'sale'), 'stream:join', { stream: 'sale' });
    const viewer = await clients.viewer(fleet.url, 'sale', {}, TRAVEL['WebSocket only']);
    assert.equal(transport(viewer), 'websocket');
  });
});
