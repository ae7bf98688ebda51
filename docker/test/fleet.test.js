// The fleet of compose.yaml, from outside: a show through the balancer, while what can end ends. .ci/docker starts it before.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { supplierToken } from '../../server/tests/clients/support/client.js';
import { until } from '../../server/tests/clients/support/wait.js';
import { Show, surely } from './crowd.js';
import { FLEET, PATIENCE, PROMETHEUS, complete, containers, crash, docker, healthy, inspect, process_of, prometheus } from './engine.js';

const VIEWERS = 60;
const STOCK = 20;

/** The claims that the ledger of a stream says were granted. */
async function sold(stream) {
  const headers = { authorization: `Bearer ${supplierToken(stream)}` };
  const answer = await fetch(`${FLEET}/v1/streams/${stream}/ledger?limit=1000`, { headers });
  assert.equal(answer.status, 200);
  const { records } = await answer.json();
  return records.filter(({ kind }) => kind === 'claim').map(({ data }) => data.id).sort();
}

describe('a fleet of containers', () => {
  const show = new Show(FLEET, 'show');
  before(() => complete(3), { timeout: 2 * PATIENCE });
  after(() => show.end());

  test('a gateway may do nothing that it need not', async () => {
    for (const id of await containers('gateway')) {
      const { HostConfig } = await inspect(id);
      assert.equal(HostConfig.ReadonlyRootfs, true);
      assert.ok(HostConfig.Memory > 0 && HostConfig.PidsLimit > 0 && HostConfig.NanoCpus > 0);
      const { Uid, CapEff, CapBnd, NoNewPrivs } = await process_of(id);
      assert.equal(Uid.split('\t')[0], '65532');
      assert.deepEqual([Number(CapEff), Number(CapBnd), NoNewPrivs], [0, 0, '1']);
    }
  });

  test('what is private stays inside', async () => {
    for (const path of ['/metrics', '/readyz', '/debug/connections']) {
      assert.equal((await fetch(FLEET + path)).status, 404, path);
    }
    assert.equal((await fetch(FLEET)).headers.get('content-type'), 'text/html', 'the demo pages are there');
  });

  test('Prometheus watches for what the runbooks are about', async () => {
    const answer = await fetch(`${PROMETHEUS}/api/v1/rules`);
    const rules = (await answer.json()).data.groups.flatMap((group) => group.rules);
    assert.ok(rules.length > 0);
    assert.deepEqual(rules.filter(({ lastError }) => lastError), []);
  });

  test('viewers are spread over all gateways', async () => {
    await show.begin(VIEWERS);
    await until('viewers on each', async () => {
      const held = Object.values(await prometheus('sum by (instance) (haat_sessions)'));
      return held.length === 3 && held.every((sessions) => sessions > VIEWERS / 6);
    }, PATIENCE);
    await show.nobodyMissed();
  });

  test(`a gateway dies in the middle of a drop: ${STOCK} units go to ${STOCK} users, and nobody misses anything`, async () => {
    const { supplier, stream, viewers } = show;
    const [victim] = await containers('gateway');
    const price = { amount: 9900, currency: 'INR' };
    const product = { id: 'lamp', title: 'A brass lamp', price };
    assert.ok((await surely(supplier, 'product:put', { stream, product })).ok);
    const outcomes = await show.chatting(async () => {
      const drop = { id: 'lamps', product: 'lamp', price, stock: STOCK, perUser: 1 };
      assert.ok((await surely(supplier, 'drop:open', { stream, drop })).ok);
      const claim = (viewer) => surely(viewer, 'drop:claim', { stream, drop: 'lamps', requestId: randomUUID() });
      const early = viewers.slice(0, STOCK / 2).map(claim);
      await Promise.race(early);
      const rest = viewers.slice(STOCK / 2).map(claim);
      await crash(victim);
      return Promise.all([...early, ...rest]);
    });
    const granted = outcomes.filter(({ ok }) => ok);
    assert.equal(granted.length, STOCK);
    assert.deepEqual([...new Set(outcomes.filter(({ ok }) => !ok).map(({ error }) => error.code))], ['sold_out']);
    assert.deepEqual(await sold(stream), granted.map(({ claim }) => claim.id).sort());
    await show.nobodyMissed();
    assert.ok(show.returned() > VIEWERS / 6, 'those of the gateway that died came back');
    await until('the engine to start it again', async () => (await inspect(victim)).RestartCount > 0, PATIENCE);
    await complete(3);
  });

  test('a gateway that is stopped moves its viewers off, and ends well', async () => {
    const victim = (await containers('gateway'))[1];
    await show.chatting(async () => {
      const stopped = docker('stop', '--time', '45', victim);
      await until('it says that it drains', async () => !(await healthy(victim, '--ready')));
      assert.ok(await healthy(victim), 'it serves on while it drains');
      await stopped;
    });
    assert.equal((await inspect(victim)).State.ExitCode, 0);
    await docker('start', victim);
    await complete(3);
    await show.nobodyMissed();
    assert.ok(show.returned() > VIEWERS / 6, 'its viewers came back');
  });

  test('Redis dies: what it had acknowledged is there, and the show goes on', async () => {
    const [redis] = await containers('redis');
    const before = await sold(show.stream);
    await show.chatting(async () => {
      await crash(redis);
      await until('the engine to start it again', async () => (await inspect(redis)).RestartCount > 0, PATIENCE);
      await complete(3);
    });
    await show.nobodyMissed();
    assert.deepEqual(await sold(show.stream), before);
  });
});
