import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { me, message, saree, setUpJoined } from '../lib/testing';
import { Desk } from './desk';
import { dueDrop, Prepared } from './prepared';
import { growth } from './series';
import type { HeldMessage } from '../lib/wire';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function setUp() {
  const { socket, live } = setUpJoined([], { products: [saree] });
  const desk = new Desk(live, async () => ({ status: 200, body: { records: [], next: null } }));
  let held: readonly HeldMessage[] = [];
  desk.held.subscribe((all) => (held = all));
  let seq = 0;
  const say = (event: string, body: object) => socket.fire(event, { stream: 'main', seq: ++seq, ...body });
  return {
    socket,
    desk,
    say,
    held: () => held.map(({ id }) => id),
  };
}

describe('held messages', () => {
  it('wait until somebody of the staff has decided', () => {
    const { socket, desk, say, held } = setUp();
    const { seq: _, ...waiting } = message(1, { id: 'h1' });
    socket.fire('chat:held', { stream: 'main', message: waiting });
    socket.fire('chat:held', { stream: 'main', message: waiting });
    socket.fire('chat:held', { stream: 'main', message: { ...waiting, id: 'h2' } });
    expect(held()).toEqual(['h1', 'h2']);
    say('chat:message', { ...message(1, { id: 'h1', user: me }), seq: 1 });
    expect(held()).toEqual(['h2']);
    desk.held.drop('h2');
    expect(held()).toEqual([]);
  });
});

describe('figures', () => {
  it('are asked for while somebody looks, and only then', async () => {
    const { socket, desk } = setUp();
    const seen: number[] = [];
    const stop = desk.figures.subscribe(({ samples }) => seen.push(samples.length));
    const stats = {
      viewers: 3,
      peakViewers: 5,
      uniqueViewers: 9,
      messages: 7,
      messagesPerSecond: 1,
      reactions: { heart: 4 },
      claims: 1,
      revenue: [saree.price],
      spins: 0,
    };
    socket.take('stream:stats').reply({ ok: true, stats });
    await vi.advanceTimersByTimeAsync(2000);
    socket.take('stream:stats').reply({ ok: true, stats });
    await vi.advanceTimersByTimeAsync(0);
    expect(seen).toEqual([0, 1, 2]);
    stop();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(socket.sent).toEqual([]);
  });

  it('are still there after a reload, the best of each minute too', async () => {
    const kept = new Map<string, string>();
    vi.stubGlobal('sessionStorage', {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => void kept.set(key, value),
    });
    const { socket, desk } = setUp();
    const stop = desk.figures.subscribe(() => {});
    socket.take('stream:stats').reply({ ok: true, stats: { viewers: 42, reactions: 7, messages: 0, claims: 0, revenue: [] } });
    await vi.advanceTimersByTimeAsync(0);
    stop();
    const after = setUp().desk.figures;
    let samples = 0;
    after.subscribe((series) => (samples = series.samples.length))();
    expect(samples).toBe(1);
    expect(after.minutes()).toMatchObject([{ viewers: 42 }]);
  });

  it('grow from nothing after a start anew', () => expect(growth([5, 9, 9, 2])).toEqual([4, 0, 2]));
});

describe('what is prepared', () => {
  it('is still there after a reload', () => {
    const kept = new Map<string, string>();
    vi.stubGlobal('localStorage', {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => void kept.set(key, value),
    });
    const before = new Prepared('main');
    before.put('drops', { id: 'd1', product: 'p1', price: saree.price, stock: 5 });
    before.put('drops', { id: 'd1', product: 'p1', price: saree.price, stock: 6 });
    before.put('polls', { id: 'q1', question: '?', options: ['a', 'b'] });
    before.remove('polls', 'q1');
    let all: unknown;
    new Prepared('main').subscribe((plans) => (all = plans));
    expect(all).toMatchObject({ drops: [{ id: 'd1', stock: 6 }], wheels: [], polls: [] });
    new Prepared('other').subscribe((plans) => (all = plans));
    expect(all).toMatchObject({ drops: [] });
  });

  it('opens by the clock of the server', () => {
    const plan = { id: 'd1', product: 'p1', price: saree.price, stock: 5 };
    expect(dueDrop({ ...plan, delayMs: 10_000 }, 1000)).toEqual({ ...plan, opensAt: 11_000 });
    expect(dueDrop(plan, 1000)).toEqual(plan);
  });
});
