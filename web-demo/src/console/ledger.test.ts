import { get } from 'svelte/store';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeSocket, saree, setUpJoined } from '../lib/testing';
import type { Trail } from './activity';
import { Desk } from './desk';
import type { LedgerRecord } from './ledger';
import { salesFile } from './sales';
import type { Story } from './story';

const hour = 3_600_000;
const host = { id: 's1', name: 'Meena', role: 'supplier' };
const asha = { id: 'u1', name: 'Asha', role: 'viewer' };

beforeEach(() => void vi.useFakeTimers({ now: 20 * hour }));
afterEach(() => void vi.useRealTimers());

/** A server with a ledger, and consoles that read it. */
function shop() {
  const records: LedgerRecord[] = [];
  const asked: string[] = [];
  let answers: (status: number) => number = (status) => status;
  return {
    asked,
    fail: (status: number) => (answers = () => status),
    heal: () => (answers = (status) => status),
    write(kind: string, data: Record<string, unknown> = {}, by: LedgerRecord['by'] = host, at = Date.now()) {
      records.push({ id: `${at}-${records.length}`, at, kind, by, data });
    },
    async get(path: string, token: string) {
      const url = new URL(path, 'http://shop');
      asked.push(`${url.pathname} as ${token}`);
      const [after, limit] = [url.searchParams.get('after') ?? '', Number(url.searchParams.get('limit'))];
      const number = (id: string) => id.split('-').map(Number) as [number, number];
      const behind = (id: string) => number(id)[0] > number(after)[0] || (number(id)[0] === number(after)[0] && number(id)[1] > number(after)[1]);
      const page = records.filter(({ id }) => behind(id)).slice(0, limit);
      return { status: answers(200), body: { ok: true, records: page, next: page.at(-1)?.id ?? after } };
    },
  };
}

function openConsole(server: ReturnType<typeof shop>) {
  const { socket, live } = setUpJoined([], { products: [saree], startedAt: 19 * hour }, host);
  const desk = new Desk(live, server.get);
  let trail: Trail = { done: [], sales: [] };
  desk.activity.subscribe((now) => (trail = now));
  let isAway = false;
  desk.ledger.subscribe((now) => (isAway = now));
  let story: Story | undefined;
  desk.chronicle.subscribe((now) => (story = now));
  const short = (entries: Trail['done']) => entries.map(({ what, about, by }) => [what, about, by].filter(Boolean).join(' '));
  return {
    socket: socket as FakeSocket,
    desk,
    done: () => short(trail.done),
    sales: () => short(trail.sales),
    trail: () => trail,
    isAway: () => isAway,
    story: () => story as Story,
  };
}

const settle = (ms = 1000) => vi.advanceTimersByTimeAsync(ms);
const claim = (quantity = 1, user: object = asha) => ({ id: `c${quantity}`, drop: 'd1', product: 'p1', user, quantity, price: saree.price });

describe('the log', () => {
  it('is what the ledger says, the newest first, and the same after a reload', async () => {
    const server = shop();
    server.write('stream:started', { state: { title: 'Sarees' } });
    server.write('chat:message', { id: 'm1', text: 'so rude' }, asha);
    server.write('drop:opened', { drop: { id: 'd1', product: 'p1' } });
    server.write('chat:deleted', { message: 'm1' });
    server.write('claim', claim(2), asha);
    server.write('user:mute', { user: 'u1', until: 21 * hour, reason: 'spam' });
    server.write('drop:closed', { drop: 'd1', sold: 2 }, null);
    const all = [
      ['dropClosed Blue saree', 'muted Asha, spam Meena', 'deleted Asha: so rude Meena', 'dropOpened Blue saree Meena', 'started Sarees Meena'],
      ['claimed 2 × Blue saree Asha'],
    ];
    for (const _ of ['at first', 'after a reload']) {
      const { done, sales, trail } = openConsole(server);
      await settle();
      expect([done(), sales()]).toEqual(all);
      expect(trail().sales[0]?.money).toEqual({ amount: 99_800, currency: 'INR' });
      expect(trail().done[0]?.sold).toBe(2);
    }
    expect(new Set(server.asked)).toEqual(new Set(['/v1/streams/main/ledger as token']));
  });

  it('is read on from where it was, when something happens and when nothing was told', async () => {
    const server = shop();
    const { socket, done } = openConsole(server);
    await settle();
    server.write('notice', { text: 'one' });
    socket.fire('notice', { stream: 'main', seq: 1, text: 'one' });
    await settle(200);
    expect(done()).toEqual(['notice one Meena']);
    // What another one of the staff does to one user is told to nobody here.
    server.write('user:ban', { user: 'u2', until: null });
    await settle(5000);
    expect(done()).toEqual(['banned u2 Meena', 'notice one Meena']);
  });

  it('goes through a long ledger page by page, and stays small', async () => {
    const server = shop();
    for (let i = 0; i < 1700; i++) server.write('notice', { text: `n${i}` });
    server.write('notice', { text: 'of another day' }, host, hour);
    const { done } = openConsole(server);
    await settle();
    expect(done()).toHaveLength(300);
    expect(done()[0]).toBe('notice n1699 Meena');
  });

  it('says that it cannot be read, and goes on where it was', async () => {
    const server = shop();
    server.write('notice', { text: 'one' });
    server.fail(502);
    const { done, isAway } = openConsole(server);
    await settle();
    expect([done(), isAway()]).toEqual([[], true]);
    server.heal();
    await settle(5000);
    expect([done(), isAway()]).toEqual([['notice one Meena'], false]);
  });

  it('is not asked for while the connection is away, and read on after', async () => {
    const server = shop();
    const { socket, done } = openConsole(server);
    await settle();
    socket.down();
    const before = server.asked.length;
    server.write('user:ban', { user: 'u2', until: null });
    await settle(30_000);
    expect(server.asked).toHaveLength(before);
    socket.up(true);
    await settle();
    expect(done()).toEqual(['banned u2 Meena']);
  });

  it('offers to lift the sanction that holds, and no other', async () => {
    const server = shop();
    server.write('user:mute', { user: 'u1', until: 21 * hour });
    server.write('user:mute', { user: 'u1', until: 22 * hour });
    server.write('user:ban', { user: 'u2', until: null });
    server.write('user:unban', { user: 'u2' });
    const { trail } = openConsole(server);
    await settle();
    expect(trail().done.map(({ what, user }) => [what, user])).toEqual([
      ['unbanned', undefined],
      ['banned', undefined],
      ['muted', 'u1'],
      ['muted', undefined],
    ]);
  });

  it('tells which words are not welcome', async () => {
    const server = shop();
    server.write('words:set', { words: ['cheap'], action: 'mask' });
    server.write('words:set', { words: ['fake', 'cheap'], action: 'hold' });
    const { desk, done } = openConsole(server);
    await settle();
    expect(get(desk.wordList)).toEqual({ words: ['fake', 'cheap'], action: 'hold' });
    expect(done()[0]).toBe('words fake, cheap Meena');
  });

  it('has what failed here too', async () => {
    const { socket, desk, done } = openConsole(shop());
    const banned = desk.run('user:ban', { user: 'u2' });
    socket.take('user:ban').reply({ ok: false, error: { code: 'forbidden', message: '' } });
    expect(await banned).toMatchObject({ code: 'forbidden' });
    expect(done()).toEqual(['failed user:ban']);
  });
});

describe('how a show went', () => {
  it('finds the best minutes, what had opened before, and what sold best', async () => {
    const server = shop();
    const at = (minute: number) => 19 * hour + minute * 60_000;
    server.write('chat:message', { id: 'a', text: '' }, asha, at(1));
    for (const id of ['b', 'c', 'd']) server.write('chat:message', { id, text: '' }, asha, at(5));
    server.write('drop:opened', { drop: { id: 'd1', product: 'p1' } }, host, at(8));
    server.write('claim', claim(1), asha, at(8));
    server.write('claim', claim(3), asha, at(9));
    server.write('release', claim(1), host, at(30));
    const { story } = openConsole(server);
    await settle();
    expect(story().moments.map(({ kind, minute, opened }) => [kind, minute.at, minute[kind], opened])).toEqual([
      ['revenue', at(9), 3 * saree.price.amount, 'p1'],
      ['messages', at(5), 3, ''],
    ]);
    expect(story().sellers).toEqual([{ product: 'p1', quantity: 3, money: { amount: 3 * saree.price.amount, currency: 'INR' } }]);
  });
});

describe('the file of the sales', () => {
  it('has a line for each, and no formula', async () => {
    const server = shop();
    server.write('chat:message', { id: 'a', text: 'hi' }, asha);
    server.write('claim', claim(2, { id: 'u2', name: '=1+1, "quoted"' }), asha);
    server.write('spin', { id: 's1', wheel: 'w1', user: 'u1', name: 'Asha', prize: { id: 'x', label: 'Scarf' } }, asha);
    server.write('spin', { id: 's2', wheel: 'w1', user: 'u1', name: 'Asha', prize: null }, asha);
    const { desk } = openConsole(server);
    const text = await (await salesFile(desk.ledger.whole(), () => 'Blue saree')).text();
    const time = new Date(20 * hour).toISOString();
    expect(text.split('\r\n').slice(1, -1)).toEqual([
      `${time},claim,c2,u2,"'=1+1, ""quoted""",p1,Blue saree,2,499.00,998.00,INR`,
      `${time},spin,s1,u1,Asha,w1/x,Scarf,1,,,`,
    ]);
  });
});
