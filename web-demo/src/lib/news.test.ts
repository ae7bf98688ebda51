import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { claimView } from './claim';
import { Floats, lifeMs, maxFloats, placeOf, shownOf } from './floats';
import { NewsFeed, type News } from './news';
import { drop, saree, setUpJoined, wheel } from './testing';
import { en } from './text.en';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('news', () => {
  function feed() {
    const { socket, live } = setUpJoined([], { products: [saree] });
    const news = new NewsFeed(live);
    const shown: (News | null)[] = [];
    news.subscribe((one) => shown.push(one));
    let seq = 0;
    const say = (event: string, body: object) => socket.fire(event, { stream: 'main', seq: ++seq, ...body });
    const buy = (quantity: number, name = 'Ravi') => say('purchase', { user: { name }, product: 'p1', quantity });
    return { say, buy, shown };
  }

  it('comes one line after the other, and goes', () => {
    const { say, shown } = feed();
    say('drop:opened', { drop: drop() });
    say('wheel:won', { wheel: 'w1', user: { id: 'u', name: 'Asha' }, prize: wheel().prizes[0] });
    expect(shown).toEqual([null, { kind: 'drop', text: 'Blue saree' }]);
    vi.advanceTimersByTime(1200);
    expect(shown.at(-1)).toEqual({ kind: 'won', name: 'Asha', text: 'Scarf' });
    vi.advanceTimersByTime(3500);
    expect(shown.at(-1)).toBeNull();
  });

  it('adds purchases up', () => {
    const { buy, shown } = feed();
    buy(1);
    buy(2, 'Asha');
    for (let i = 0; i < 20; i++) buy(1);
    expect(shown.at(-1)).toMatchObject({ kind: 'bought', people: 22, quantity: 23, text: 'Blue saree' });
  });

  it('does not run behind the show', () => {
    const { say, shown } = feed();
    for (let i = 1; i <= 50; i++) say('wheel:won', { wheel: 'w1', user: { id: 'u', name: `n${i}` }, prize: wheel().prizes[0] });
    vi.advanceTimersByTime(20_000);
    expect(shown.map((one) => one && 'name' in one && one.name)).toEqual([null, 'n1', 'n48', 'n49', 'n50', null]);
  });
});

describe('floating reactions', () => {
  it('show all of a few, and not many more of a crowd', () => {
    expect([1, 4, 10, 250, 5000].map(shownOf)).toEqual([1, 4, 7, 14, 14]);
  });

  it('are never more than can be drawn smoothly', () => {
    const floats = new Floats(() => 0.5);
    for (let now = 0; now < 5000; now += 250) floats.add({ heart: 250, fire: 100, clap: 80 }, now);
    expect(floats.all).toHaveLength(maxFloats);
    floats.sweep(5000 + lifeMs);
    expect(floats.all).toHaveLength(0);
  });

  it('do not show the own tap twice', () => {
    const floats = new Floats(() => 0.5);
    floats.tap('heart', 0);
    floats.add({ heart: 1 }, 250);
    expect(floats.all).toHaveLength(1);
    floats.add({ heart: 2 }, 500);
    expect(floats.all).toHaveLength(3);
  });

  it('rise and fade', () => {
    const [float] = (() => {
      const floats = new Floats(() => 0.5);
      floats.tap('heart', 0);
      return floats.all;
    })();
    if (!float) throw new Error('none');
    const ys = [0, 600, 1300, 2500].map((now) => placeOf(float, now)?.y ?? -1);
    expect([...ys].sort((a, b) => a - b)).toEqual(ys);
    expect(placeOf(float, 2599)?.alpha).toBeLessThan(0.01);
    expect(placeOf(float, 2600)).toBeNull();
  });
});

describe('the claim button', () => {
  const base = { state: 'done' as const, requestId: 'r', times: 0 };
  const view = (phase: Parameters<typeof claimView>[1], attempt?: object, more: object = {}, perUser = 1) =>
    claimView(
      drop({ perUser }),
      phase,
      attempt && { ...base, ...attempt },
      { title: 'Saree', guest: false, error: 'E', ...more },
      en,
    );
  const refused = (code: string, times = 0) => ({ state: 'refused', error: { code, message: '' }, times });

  it.each([
    ['open', undefined, 'Claim', true, ''],
    ['soon', undefined, 'Claim', false, ''],
    ['gone', undefined, 'Sold out', false, ''],
    ['paused', undefined, 'Paused', false, en.offer.pausedNote],
    ['closed', undefined, 'Over', false, en.offer.overNote],
    ['open', { state: 'asking' }, 'Claiming…', false, ''],
    ['gone', { state: 'unknown' }, 'Try again', true, en.offer.unknown],
    ['closed', { state: 'unknown' }, 'Try again', true, en.offer.unknown],
    ['open', { times: 1 }, 'Yours!', false, 'Saree is yours.'],
    ['gone', { times: 1 }, 'Yours!', false, 'Saree is yours.'],
    ['gone', refused('sold_out'), 'Sold out', false, en.offer.goneNote],
    ['open', refused('limit_reached'), en.offer.limit, false, en.offer.limit],
    ['open', refused('limit_reached', 1), 'Yours!', false, 'Saree is yours.'],
    ['open', refused('closed'), 'Over', false, 'E'],
    ['open', refused('muted'), 'Try again', true, 'E'],
  ] as const)('%s, %j: %s', (phase, attempt, label, enabled, note) => {
    expect(view(phase, attempt)).toMatchObject({ label, enabled, note });
  });

  it('offers another while one may have more', () => {
    expect(view('open', { times: 1 }, {}, 3)).toMatchObject({ label: 'Claim another', enabled: true });
    expect(view('open', { times: 3 }, {}, 3)).toMatchObject({ label: 'Yours!', enabled: false });
  });

  it('asks a guest to sign in', () => {
    expect(view('open', undefined, { guest: true })).toMatchObject({ enabled: false, note: en.offer.guest });
  });
});
