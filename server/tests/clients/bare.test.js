// A program without the official client: a WebSocket, and the packets as texts.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { WebSocket } from 'ws';
import { Clients, done, say, token } from './support/client.js';
import { startGateway } from './support/gateway.js';
import { within } from './support/wait.js';

/** A WebSocket whose texts are read one by one. */
class Bare {
  #texts = [];
  #waiting = [];

  constructor(url) {
    this.socket = new WebSocket(`${url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`);
    this.socket.on('message', (data, binary) => {
      assert.equal(binary, false);
      const text = data.toString();
      const waiting = this.#waiting.shift();
      if (waiting) waiting(text);
      else this.#texts.push(text);
    });
    this.closed = new Promise((resolve) => this.socket.once('close', resolve));
  }

  async next(what) {
    const text = this.#texts.shift();
    return text ?? within(new Promise((resolve) => this.#waiting.push(resolve)), what);
  }

  send(text) {
    this.socket.send(text);
  }
}

describe('a bare WebSocket', () => {
  const clients = new Clients();
  let gateway;
  let supplier;
  before(async () => {
    gateway = await startGateway({ HAAT_ENGINE_PING_INTERVAL_SECONDS: '0.3' });
    supplier = await clients.supplier(gateway.url, 'main');
    await done(supplier, 'stream:join', { stream: 'main' });
  });
  after(async () => {
    clients.close();
    await gateway.stop();
  });

  test('connects, joins, talks, answers pings and leaves', async () => {
    const bare = new Bare(gateway.url);
    const open = await bare.next('open packet');
    assert.equal(open[0], '0');
    const { sid, upgrades, pingInterval, pingTimeout, maxPayload } = JSON.parse(open.slice(1));
    assert.equal(typeof sid, 'string');
    assert.deepEqual({ upgrades, pingInterval, pingTimeout }, { upgrades: [], pingInterval: 300, pingTimeout: 20000 });
    assert.ok(maxPayload >= 1024);

    bare.send(`40${JSON.stringify({ token: token('asha', { name: 'Asha' }) })}`);
    const skipPings = async (what) => {
      for (;;) {
        const text = await bare.next(what);
        if (text !== '2') return text;
        bare.send('3');
      }
    };
    const connected = await skipPings('answer to CONNECT');
    assert.match(connected, /^40\{"sid":".{20}","pid":".{20}"\}$/);
    assert.notEqual(JSON.parse(connected.slice(2)).sid, sid);

    bare.send('420["stream:join",{"stream":"main"}]');
    const joined = await skipPings('answer to the join');
    assert.ok(joined.startsWith('430[{"ok":true,"state":{'), joined);
    assert.deepEqual(JSON.parse(joined.slice(3))[0].me, { id: 'asha', name: 'Asha', role: 'viewer' });

    const message = await say(supplier, 'main', 'hello');
    let heard = await skipPings('message');
    while (heard.startsWith('42["viewers"')) heard = await skipPings('message');
    const [name, data, offset] = JSON.parse(heard.slice(2));
    assert.deepEqual([name, data, typeof offset], ['chat:message', message, 'string']);

    for (let pings = 0; pings < 3; ) {
      if ((await bare.next('ping')) !== '2') continue;
      bare.send('3');
      pings += 1;
    }
    bare.socket.close();
    assert.equal(await within(bare.closed, 'close'), 1005);
  });

  test('one that does not answer pings is closed', async () => {
    const strict = await startGateway({
      HAAT_ENGINE_PING_INTERVAL_SECONDS: '0.2',
      HAAT_ENGINE_PING_TIMEOUT_SECONDS: '0.2',
    });
    try {
      const bare = new Bare(strict.url);
      await bare.next('open packet');
      bare.send('40');
      await bare.next('answer to CONNECT');
      assert.equal(await bare.next('ping'), '2');
      await within(bare.closed, 'close');
    } finally {
      await strict.stop();
    }
  });
});
