// A gateway that is asked to go.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { Clients, TRAVEL, done, say, token } from './support/client.js';
import { startGateway } from './support/gateway.js';
import { once, until, within } from './support/wait.js';

describe('drain', () => {
  const clients = new Clients();
  after(() => clients.close());

  const ready = async (gateway) => (await fetch(`${gateway.side}/readyz`)).status;

  test('clients are told, moved off without a goodbye, and the process ends well', async (context) => {
    const gateway = await startGateway({ HAAT_DRAIN_SECONDS: '6' });
    context.after(() => gateway.stop());
    const supplier = await clients.supplier(gateway.url, 'main');
    await done(supplier, 'stream:join', { stream: 'main' });
    const viewers = [];
    for (const options of Object.values(TRAVEL)) {
      const viewer = await clients.viewer(gateway.url, 'main', {}, { ...options, reconnection: false });
      viewer.on('disconnect', (reason) => (viewer.gone = reason));
      viewers.push(viewer);
    }
    assert.equal(await ready(gateway), 200);

    const told = viewers.map((viewer) => once(viewer, 'server:draining'));
    gateway.terminate();
    for (const [event] of await Promise.all(told)) {
      assert.deepEqual(Object.keys(event), ['reconnectWithinMs']);
      assert.ok(event.reconnectWithinMs > 0 && event.reconnectWithinMs <= 6000);
    }
    assert.equal(await ready(gateway), 503);
    const late = clients.make(gateway.url, {}, { reconnection: false });
    await once(late, 'connect_error');

    await until('all to be closed', () => viewers.every((viewer) => viewer.gone));
    for (const viewer of viewers) {
      assert.ok(['transport close', 'transport error'].includes(viewer.gone), viewer.gone);
      assert.equal(viewer.gone === 'io server disconnect', false);
    }
    const { code, signal } = await within(gateway.exited, 'exit', 10_000);
    assert.deepEqual({ code, signal }, { code: 0, signal: null });
  });

  test('what is said meanwhile still arrives', async (context) => {
    const gateway = await startGateway({ HAAT_DRAIN_SECONDS: '3' });
    context.after(() => gateway.stop());
    await clients.supplier(gateway.url, 'main');
    const viewer = await clients.viewer(gateway.url, 'main', { token: token('asha') }, { reconnection: false });
    const told = once(viewer, 'server:draining');
    gateway.terminate();
    await told;
    const message = await say(viewer, 'main', 'a last word');
    await until('the message', () => viewer.heard.at(-1)?.id === message.id);
    assert.equal((await gateway.exited).code, 0);
  });

  test('a gateway without clients does not wait', async (context) => {
    const gateway = await startGateway({ HAAT_DRAIN_SECONDS: '600' });
    context.after(() => gateway.stop());
    gateway.terminate();
    assert.equal((await within(gateway.exited, 'exit')).code, 0);
  });

  test('nor does one whose clients have left', async (context) => {
    const gateway = await startGateway({ HAAT_DRAIN_SECONDS: '600' });
    context.after(() => gateway.stop());
    const viewer = await clients.connect(gateway.url);
    const told = once(viewer, 'server:draining');
    gateway.terminate();
    await told;
    viewer.disconnect();
    assert.equal((await within(gateway.exited, 'exit')).code, 0);
  });

  test('a client that has only just come is told and not cut off', async (context) => {
    const gateway = await startGateway({ HAAT_DRAIN_SECONDS: '600' });
    context.after(() => gateway.stop());
    const viewer = clients.make(gateway.url, {}, { ...TRAVEL['WebSocket only'], reconnection: false });
    await once(viewer, 'connect');
    const told = once(viewer, 'server:draining');
    gateway.terminate();
    await told;
    // Its turn comes in some minutes; until then it is served.
    assert.equal((await viewer.timeout(20_000).emitWithAck('no:such', {})).error.code, 'not_found');
    viewer.disconnect();
    assert.equal((await within(gateway.exited, 'exit')).code, 0);
  });

  test('a second signal ends it at once', async (context) => {
    const gateway = await startGateway({ HAAT_DRAIN_SECONDS: '600' });
    context.after(() => gateway.stop());
    const viewer = await clients.connect(gateway.url, {}, { reconnection: false });
    const told = once(viewer, 'server:draining');
    gateway.terminate();
    await told;
    gateway.terminate();
    assert.equal((await within(gateway.exited, 'exit')).code, 130);
  });
});
