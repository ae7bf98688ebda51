// People at a show who hold on to what they began, and write down all that they are told.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { Clients, TRAVEL, token } from '../../server/tests/clients/support/client.js';
import { until } from '../../server/tests/clients/support/wait.js';
import { PATIENCE } from './engine.js';

/** Does a command until its outcome is known: what makes it the same command again is in its body. */
export async function surely(socket, command, body) {
  return until(`an outcome of ${command}`, async () => {
    const answer = await socket.timeout(3000).emitWithAck(command, body).catch(() => undefined);
    const known = answer && (answer.ok || answer.error.code !== 'unavailable');
    return known && answer;
  }, PATIENCE);
}

/** A show with so many viewers, who come through the balancer in every way that the client knows. */
export class Show {
  clients = new Clients();
  viewers = [];
  last = 0;

  constructor(url, stream) {
    Object.assign(this, { url, stream });
  }

  /** The supplier goes live, and the viewers join. */
  async begin(count) {
    const { url, stream, clients } = this;
    this.supplier = await clients.supplier(url, stream);
    await surely(this.supplier, 'stream:join', { stream });
    const ways = Object.values(TRAVEL);
    for (let number = 0; number < count; number += 1) {
      const viewer = clients.make(url, { token: token(`viewer-${number}`) }, ways[number % ways.length]);
      viewer.numbers = [];
      viewer.returns = [];
      // Whatever counts has a number.
      viewer.onAny((_, body) => body?.stream === stream && body.seq && viewer.numbers.push(body.seq));
      viewer.on('disconnect', () => viewer.once('connect', () => viewer.returns.push(viewer.recovered)));
      viewer.joined = await surely(viewer, 'stream:join', { stream });
      assert.ok(viewer.joined.ok, JSON.stringify(viewer.joined));
      this.viewers.push(viewer);
    }
  }

  /** Says something, for sure. */
  async say(speaker, text) {
    const said = await surely(speaker, 'chat:send', { stream: this.stream, text, clientId: randomUUID() });
    assert.ok(said.ok || said.error.code === 'rate_limited', JSON.stringify(said));
    this.last = Math.max(this.last, said.message?.seq ?? 0);
    return said.ok;
  }

  /** Some viewers chat, one message a second each, while something happens. */
  async chatting(happens) {
    let going = true;
    const talk = this.viewers.slice(0, 12).map(async (speaker, who) => {
      for (let number = 0; going; number += 1) {
        await this.say(speaker, `${who} says ${number}`);
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    });
    try {
      return await happens();
    } finally {
      going = false;
      await Promise.all(talk);
    }
  }

  /** Everybody has heard every number since they joined, once and in order. */
  async nobodyMissed() {
    await until('a last word', () => this.say(this.supplier, 'the last word'), PATIENCE);
    for (const [who, viewer] of this.viewers.entries()) {
      const { numbers } = viewer;
      await until(`the last word for viewer ${who}`, () => numbers.at(-1) >= this.last, PATIENCE);
      const first = viewer.joined.state.seq + 1;
      const wrong = numbers.findIndex((number, place) => number !== first + place);
      assert.equal(wrong, -1, `viewer ${who} heard ${numbers.slice(Math.max(0, wrong - 4), wrong + 4)}`);
    }
  }

  /** How many came back since the last time that this was asked; every one of them to the same session. */
  returned() {
    const returns = this.viewers.flatMap((viewer) => viewer.returns.splice(0));
    assert.ok(returns.every(Boolean), `${returns.filter((same) => !same).length} of ${returns.length} lost their session`);
    return returns.length;
  }

  end() {
    this.clients.close();
  }
}
