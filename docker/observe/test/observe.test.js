// Alerts, dashboard, runbooks and reference against what two gateways on one Redis really show, and a real Prometheus that looks
// at them while a show runs.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import http from 'node:http';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { Clients, done, call, say } from '../../../server/tests/clients/support/client.js';
import { missing, startFleet } from '../../../server/tests/clients/support/fleet.js';
import { token } from '../../../server/tests/clients/support/token.js';
import { until } from '../../../server/tests/clients/support/wait.js';
import { all, family, names, queries, read, runbooks, shown, startPrometheus } from './support.js';

const alerts = read('docker/observe/alerts.yml');
const rules = read('docker/observe/rules.yml');
const alertNames = all(alerts, /- alert: (\w+)/g);

describe('each alert', () => {
  test('has a page, and each page an alert', () => {
    assert.deepEqual([...runbooks().keys()].sort(), [...alertNames].sort());
    const pages = all(alerts, /runbook: docker\/observe\/runbook\/(\w+)\.md/g);
    assert.deepEqual(pages, alertNames);
    for (const [name, page] of runbooks()) {
      assert.deepEqual(all(page, /^##? (.*)$/gm), [name, 'What it means', 'What to look at', 'What to do']);
    }
  });

  test('is tested', () => {
    const tested = new Set(all(read('docker/observe/alerts.test.yml'), /alertname="(\w+)"/g));
    assert.deepEqual([...tested].sort(), [...alertNames].sort());
  });
});

/** A show that leaves something in every metric: viewers on both gateways who poll, chat, buy, spin, go and come back. */
async function show(fleet, clients) {
  const stream = 'main';
  const supplier = await clients.supplier(fleet.url, stream);
  await done(supplier, 'stream:join', { stream });
  const price = { amount: 99900, currency: 'INR' };
  await done(supplier, 'product:put', { stream, product: { id: 'saree', title: 'Saree', price } });
  await done(supplier, 'drop:open', { stream, drop: { id: 'd', product: 'saree', price, stock: 1 } });
  const prizes = [{ id: 'a', label: 'A', weight: 1 }];
  await done(supplier, 'wheel:open', { stream, wheel: { id: 'w', title: 'W', prizes } });
  const viewers = [];
  for (let number = 0; number < 6; number += 1) {
    viewers.push(await clients.viewer(fleet.url, stream, { token: token(`viewer-${number}`) }, number % 2 ? {} : { transports: ['polling'] }));
  }
  for (const viewer of viewers) {
    await say(viewer, stream, 'How much?');
    await call(viewer, 'drop:claim', { stream, drop: 'd' });
    await done(viewer, 'wheel:spin', { stream, wheel: 'w' });
  }
  const [first] = viewers;
  await until('everybody has heard everything', () => viewers.every((viewer) => viewer.heard.length > 0));
  const back = once(first, 'connect');
  first.io.engine.close();
  await back;
}

describe('a fleet in the middle of a show', { skip: missing }, () => {
  const clients = new Clients();
  let fleet;
  let hook;
  let types;
  before(async () => {
    hook = http.createServer((request, answer) => request.resume().on('end', () => answer.end())).listen(0, '127.0.0.1');
    await once(hook, 'listening');
    fleet = await startFleet(2, {
      HAAT_WEBHOOKS_URLS: `http://127.0.0.1:${hook.address().port}/`,
      HAAT_WEBHOOKS_SECRET: 'a secret of the webhooks, 32 bytes or more',
    });
    await show(fleet, clients);
    // A restart of Redis does the same: the next script is not known.
    spawnSync('redis-cli', ['-u', fleet.redis, 'script', 'flush']);
    await say(await clients.supplier(fleet.url, 'other'), 'other', 'Hello').catch(() => {});
    const complete = async () => {
      types = new Map((await Promise.all(fleet.gateways.map(shown))).flatMap((page) => [...page]));
      return types.has('haat_webhook_tries_total') && types.has('haat_redis_faults_total');
    };
    await until('webhooks and a script that was forgotten', complete);
  });
  after(async () => {
    clients.close();
    await fleet?.stop();
    hook?.close();
  });

  /** Everything that a text names has to be there. */
  function known(text, where) {
    const recorded = new Set(all(rules, /record: (\S+)/g));
    for (const name of names(text)) {
      assert.ok(recorded.has(name) || types.has(family(name, types)), `${where}: there is no ${name}`);
    }
  }

  test('shows every metric that alerts, rules, runbooks and the dashboard name', () => {
    known(alerts, 'alerts.yml');
    known(rules, 'rules.yml');
    known(read('docker/observe/alerts.test.yml'), 'alerts.test.yml');
    for (const { title, expr } of queries()) known(expr, title);
    for (const [name, page] of runbooks()) known(page, name);
  });

  test('shows what the reference names, and nothing else', () => {
    const rows = [...read('server/guide/metrics.md').matchAll(/^\| `(\w+)` \| (\w+) \|/gm)];
    const reference = new Map(rows.map(([, name, type]) => [name, type]));
    assert.deepEqual(new Map([...types].sort()), new Map([...reference].sort()));
  });

  test('has every metric of the reference in a panel', () => {
    const panels = names(queries().map(({ expr }) => expr).join('\n') + rules);
    const seen = new Set([...panels].map((name) => family(name, types)));
    assert.deepEqual([...types.keys()].filter((name) => !seen.has(name)), []);
  });

  test('is seen by a real Prometheus', async (t) => {
    const prometheus = await startPrometheus(fleet.gateways);
    t.after(() => prometheus.stop());
    const values = async (expr) => {
      const answer = await prometheus.query(expr);
      assert.equal(answer.status, 'success', `${expr}: ${answer.error}`);
      return answer.data.result;
    };
    await until('two gateways that are up', async () => (await values('up{job="haat"} == 1')).length === 2);
    const loaded = async () => (await prometheus.rules()).every(({ health }) => health === 'ok');
    await until('rules that were evaluated', loaded);
    const active = (await prometheus.rules()).filter(({ type }) => type === 'alerting');
    assert.deepEqual(active.map(({ name }) => name).sort(), [...alertNames].sort());
    assert.deepEqual((await values('ALERTS{alertstate="firing"}')).map(({ metric }) => metric.alertname), []);

    // A query that Prometheus can answer, with something to show: what happens goes on meanwhile.
    const supplier = await clients.supplier(fleet.url, 'more');
    for (const { title, expr } of queries()) {
      if (expr.startsWith('ALERTS')) continue;
      const answered = async () => {
        await done(supplier, 'stream:update', { stream: 'more', title });
        return (await values(expr)).length > 0;
      };
      await until(`something to show: ${title}: ${expr}`, answered);
    }

    // What the pages say to look at can be asked.
    for (const page of runbooks().values()) {
      const asked = all(page, /`([^`]+)`/g).filter((code) => /(haat|process)_[a-z]|^up\b/.test(code) && !code.includes('HAAT_'));
      for (const expr of asked) await values(expr);
    }

    await fleet.gateways[1].stop();
    const pending = async () => (await values('ALERTS{alertname="HaatGatewayDown"}')).length === 1;
    await until('an alert about a gateway that was killed', pending);
  });
});
