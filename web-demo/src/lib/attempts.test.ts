import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Attempts } from './attempts';
import { Taps } from './taps';
import type { Reply } from './wire';

interface Asked {
  id: string;
  requestId: string;
  done: (reply: Reply<{ prize: string }> | null) => void;
}

const no = (code: string, retryAfterMs?: number) => ({ ok: false as const, error: { code, message: '', retryAfterMs } });
const yes = { ok: true as const, prize: 'scarf' };

function setUp() {
  const asked: Asked[] = [];
  const attempts = new Attempts<{ prize: string }>((id, requestId, done) => asked.push({ id, requestId, done }));
  attempts.start();
  return { attempts, asked, last: () => asked.at(-1) as Asked };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('attempts', () => {
  it('ask once for two taps', () => {
    const { attempts, asked } = setUp();
    attempts.tap('a');
    attempts.tap('a');
    expect(asked).toHaveLength(1);
  });

  it.each(['sold_out', 'limit_reached', 'closed', 'paused', 'ended'])(
    'take %s as an answer, and the next tap as a new request',
    (code) => {
      const { attempts, asked, last } = setUp();
      attempts.tap('a');
      last().done(no(code));
      expect(attempts.all).toMatchObject({ a: { state: 'refused', error: { code } } });
      vi.advanceTimersByTime(60_000);
      expect(asked).toHaveLength(1);
      attempts.tap('a');
      expect(asked[1]?.requestId).not.toBe(asked[0]?.requestId);
    },
  );

  it('repeat the same request while the outcome is not known', () => {
    const { attempts, asked, last } = setUp();
    attempts.tap('a');
    last().done(no('unavailable'));
    expect(attempts.all).toMatchObject({ a: { state: 'asking' } });
    vi.advanceTimersByTime(1000);
    last().done(null);
    vi.advanceTimersByTime(2000);
    last().done(yes);
    expect(new Set(asked.map(({ requestId }) => requestId)).size).toBe(1);
    expect(attempts.all).toMatchObject({ a: { state: 'done', got: { prize: 'scarf' }, times: 1 } });
  });

  it('leave it to the user after a while, and then still ask for the same', () => {
    const { attempts, asked, last } = setUp();
    attempts.tap('a');
    for (let i = 0; i < 5; i++) {
      last().done(no('unavailable'));
      vi.advanceTimersByTime(10_000);
    }
    expect(asked).toHaveLength(5);
    expect(attempts.all).toMatchObject({ a: { state: 'unknown' } });
    attempts.tap('a');
    expect(last().requestId).toBe(asked[0]?.requestId);
  });

  it('wait as long as the server asks', () => {
    const { attempts, asked, last } = setUp();
    attempts.tap('a');
    last().done(no('rate_limited', 3000));
    vi.advanceTimersByTime(2900);
    expect(asked).toHaveLength(1);
    vi.advanceTimersByTime(200);
    expect(asked).toHaveLength(2);
  });

  it('remember what one got when a later one is refused', () => {
    const { attempts, last } = setUp();
    attempts.tap('a');
    last().done(yes);
    attempts.tap('a');
    last().done(no('limit_reached'));
    expect(attempts.all).toMatchObject({ a: { state: 'refused', got: { prize: 'scarf' }, times: 1 } });
  });

  it('outlive a reload, and ask again for what was on its way', () => {
    const kept = new Map<string, string>();
    vi.stubGlobal('sessionStorage', {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => void kept.set(key, value),
    });
    const before = setUp();
    before.attempts.rememberAs('k');
    before.attempts.tap('a');
    const after = setUp();
    after.attempts.rememberAs('k');
    after.attempts.start();
    expect(after.last()).toMatchObject({ id: 'a', requestId: before.last().requestId });
    vi.unstubAllGlobals();
  });
});

describe('taps', () => {
  function taps() {
    const sent: [string, number, (reply: Reply<{ accepted: number }> | null) => void][] = [];
    return { sent, taps: new Taps((kind, count, done) => sent.push([kind, count, done])) };
  }

  it('go out together, by kind', () => {
    const { sent, taps: t } = taps();
    for (let i = 0; i < 7; i++) t.tap('heart');
    t.tap('fire');
    expect(sent).toEqual([]);
    vi.advanceTimersByTime(400);
    expect(sent.map(([kind, count]) => [kind, count])).toEqual([
      ['heart', 7],
      ['fire', 1],
    ]);
  });

  it('are never more than one command may carry', () => {
    const { sent, taps: t } = taps();
    for (let i = 0; i < 80; i++) t.tap('heart');
    vi.advanceTimersByTime(400);
    expect(sent.map(([, count]) => count)).toEqual([50]);
  });

  it('rest when the server wants quiet', () => {
    const { sent, taps: t } = taps();
    t.tap('heart');
    vi.advanceTimersByTime(400);
    sent[0]?.[2](no('rate_limited', 2000));
    expect(t.tap('heart')).toBe(false);
    vi.advanceTimersByTime(2001);
    expect(t.tap('heart')).toBe(true);
  });

  it('do not come late', () => {
    const { sent, taps: t } = taps();
    t.tap('heart');
    t.stop();
    vi.advanceTimersByTime(60_000);
    expect(sent).toEqual([]);
  });
});
