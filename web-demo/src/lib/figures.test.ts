import { describe, expect, it } from 'vitest';
import { formatMoney, parseMoney, plainMoney } from './money';
import { dropPhase, onShow, ranked } from './offer';
import { drop, poll, stream, wheel } from './testing';
import { odds, slices, stopAt, under } from './turn';

describe('money', () => {
  it.each([
    [{ amount: 49_900, currency: 'INR' }, '₹499'],
    [{ amount: 12_000_050, currency: 'INR' }, '₹1,20,000.50'],
    [{ amount: 1200, currency: 'JPY' }, 'JP¥1,200'],
    [{ amount: 0, currency: 'INR' }, '₹0'],
    [{ amount: 1234, currency: 'nonsense' }, 'nonsense 12.34'],
  ])('%j is %s', (money, written) => expect(formatMoney(money, 'en')).toBe(written));

  it.each([
    ['499', 'INR', 49_900],
    ['1,20,000.5', 'INR', 12_000_050],
    ['1200', 'JPY', 1200],
    ['-1', 'INR', null],
    ['', 'INR', null],
    ['4e9', 'INR', null],
    ['99999999999999999', 'INR', null],
  ])('%s %s is %s', (text, currency, amount) => expect(parseMoney(text, currency)).toBe(amount));

  it('comes back as it was typed', () => expect(plainMoney({ amount: 12_050, currency: 'INR' })).toBe('120.5'));
});

describe('where a wheel stops', () => {
  const all = slices(wheel().prizes);
  it.each(['a', 'b', null])('is on %s, after whole turns, from wherever it was', (prize) => {
    for (const from of [0, 77, 359, 1234.5]) {
      for (const off of [-1, 0, 1]) {
        const stop = stopAt(all, prize, from, 5, off);
        expect(stop - from).toBeGreaterThanOrEqual(5 * 360);
        expect(stop - from).toBeLessThan(6 * 360);
        expect(under(all, stop)?.prize?.id ?? null).toBe(prize);
      }
    }
  });

  it('is on no prize where the prize is unknown', () => {
    expect(under(all, stopAt(all, 'gone', 0, 5))?.prize).toBeNull();
  });

  it('is as likely as the weights of what is left', () => {
    expect([...odds(wheel().prizes)]).toEqual([
      ['a', 25],
      ['b', 75],
    ]);
    expect([...odds([{ id: 'a', label: '', weight: 1, stock: 0 }, ...wheel().prizes.slice(1)])]).toEqual([['b', 100]]);
  });
});

describe('offers by the clock of the server', () => {
  it.each([
    [drop(), 'open'],
    [drop({ opensAt: 1001 }), 'soon'],
    [drop({ opensAt: 1000 }), 'open'],
    [drop({ left: 0 }), 'gone'],
    [drop({ endsAt: 1000 }), 'closed'],
    [drop({ status: 'paused' }), 'paused'],
    [drop({ status: 'closed', left: 3 }), 'closed'],
  ])('%# is %s', (offer, phase) => expect(dropPhase(offer, 1000)).toBe(phase));

  it('shows the newest first, and what has just closed a little longer', () => {
    const state = stream({
      drops: [drop({ status: 'closed', endsAt: 900 })],
      wheels: [wheel(), wheel({ id: 'w2' }), wheel({ id: 'w0', status: 'closed' })],
      polls: [poll({ status: 'closed', endsAt: 900 })],
    });
    const ids = (now: number) => Object.values(onShow(state, now)).map((list) => list.map(({ id }) => id));
    expect(ids(1000)).toEqual([['d1'], ['w2', 'w1'], ['q1']]);
    expect(ids(100_000)).toEqual([[], ['w2', 'w1'], []]);
  });

  it('ranks questions by votes, the answered ones last, the hidden ones not at all', () => {
    const ask = (id: string, votes: number, status = 'open') => ({ id, text: '', user: { id: 'u', name: '' }, votes, status });
    const all = [ask('a', 1), ask('b', 9, 'answered'), ask('c', 5), ask('d', 7, 'hidden')];
    expect(ranked(all).map(({ id }) => id)).toEqual(['c', 'a', 'b']);
  });
});
