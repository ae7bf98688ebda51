import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ChatList } from './chat';
import { Outbox, type SendReply } from './outbox';
import { message } from './testing';

interface Try {
  text: string;
  clientId: string;
  done: (reply: SendReply | null) => void;
}

const refused = (code: string, retryAfterMs?: number): SendReply => ({ ok: false, error: { code, message: '', retryAfterMs } });
const accepted = (seq: number): SendReply => ({ ok: true, message: message(seq) });

function setUp() {
  const chat = new ChatList();
  const tries: Try[] = [];
  const cooling = vi.fn();
  const rejoin = vi.fn();
  const outbox = new Outbox(chat, ({ text, clientId }, done) => tries.push({ text, clientId, done }), cooling, rejoin);
  const states = () => chat.drafts().map((draft) => draft.state);
  const last = () => tries.at(-1) as Try;
  return { chat, tries, cooling, rejoin, outbox, states, last };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('outbox', () => {
  it('sends one at a time, in the order written', () => {
    const { outbox, tries } = setUp();
    outbox.start();
    outbox.push('a');
    outbox.push('b');
    expect(tries.map((t) => t.text)).toEqual(['a']);
    tries[0]?.done(accepted(1));
    expect(tries.map((t) => t.text)).toEqual(['a', 'b']);
  });

  it('keeps what is written while there is no connection', () => {
    const { outbox, tries, states } = setUp();
    outbox.push('a');
    expect(tries).toHaveLength(0);
    expect(states()).toEqual(['waiting']);
    outbox.start();
    expect(tries).toHaveLength(1);
  });

  it('repeats after a reconnection under the same client id', () => {
    const { outbox, tries, states } = setUp();
    outbox.start();
    outbox.push('a');
    outbox.stop();
    expect(states()).toEqual(['waiting']);
    outbox.start();
    expect(tries).toHaveLength(2);
    expect(tries[1]?.clientId).toBe(tries[0]?.clientId);
  });

  it('ignores an answer that belongs to the connection before', () => {
    const { outbox, tries, states } = setUp();
    outbox.start();
    outbox.push('a');
    outbox.stop();
    outbox.start();
    tries[0]?.done(null);
    expect(states()).toEqual(['sending']);
    expect(tries).toHaveLength(2);
  });

  it('repeats when no answer came, and gives up after a few attempts', () => {
    const { outbox, tries, states, last } = setUp();
    outbox.start();
    outbox.push('a');
    for (let i = 0; i < 10 && states()[0] !== 'failed'; i++) {
      last().done(null);
      vi.advanceTimersByTime(10_000);
    }
    expect(states()).toEqual(['failed']);
    expect(tries).toHaveLength(4);
    expect(new Set(tries.map((t) => t.clientId)).size).toBe(1);
  });

  it('waits as long as the server asks, then sends by itself', () => {
    const { outbox, tries, cooling, last } = setUp();
    outbox.start();
    outbox.push('a');
    last().done(refused('rate_limited', 3000));
    expect(cooling).toHaveBeenLastCalledWith(Date.now() + 3000, 'rate_limited');
    vi.advanceTimersByTime(2999);
    expect(tries).toHaveLength(1);
    vi.advanceTimersByTime(1);
    expect(tries).toHaveLength(2);
    expect(cooling).toHaveBeenLastCalledWith(0, '');
  });

  it('does not overtake a message that waits', () => {
    const { outbox, tries, last } = setUp();
    outbox.start();
    outbox.push('a');
    last().done(refused('slow_mode', 3000));
    outbox.push('b');
    expect(tries).toHaveLength(1);
    vi.advanceTimersByTime(3000);
    expect(last().text).toBe('a');
  });

  it.each(['rejected', 'muted', 'paused', 'members_only'])('fails at once on %s, and goes on with the next', (code) => {
    const { outbox, states, last } = setUp();
    outbox.start();
    outbox.push('a');
    outbox.push('b');
    last().done(refused(code));
    expect(states()).toEqual(['failed', 'sending']);
    expect(last().text).toBe('b');
  });

  it('joins again when the server says that it is not in the stream', () => {
    const { outbox, rejoin, tries, last } = setUp();
    outbox.start();
    outbox.push('a');
    last().done(refused('not_joined'));
    expect(rejoin).toHaveBeenCalledOnce();
    vi.advanceTimersByTime(10_000);
    expect(tries).toHaveLength(2);
  });

  it('does not repeat by itself what the server may have forgotten', () => {
    const { outbox, tries, states } = setUp();
    outbox.start();
    outbox.push('a');
    outbox.stop();
    vi.advanceTimersByTime(300_000);
    outbox.start();
    expect(states()).toEqual(['failed']);
    expect(tries).toHaveLength(1);
  });

  it('sends a failed one again when asked, under the same client id', () => {
    const { outbox, tries, states, last } = setUp();
    outbox.start();
    outbox.push('a');
    outbox.stop();
    vi.advanceTimersByTime(300_000);
    outbox.start();
    outbox.retry(tries[0]?.clientId ?? '');
    expect(states()).toEqual(['sending']);
    expect(last().clientId).toBe(tries[0]?.clientId);
  });

  it('shows a held message as held', () => {
    const { outbox, states, last } = setUp();
    outbox.start();
    outbox.push('a');
    last().done({ ok: true, held: true });
    expect(states()).toEqual(['held']);
  });

  it('counts characters as the server does', () => {
    const { outbox } = setUp();
    expect(outbox.push('   ')).toBe('empty');
    expect(outbox.push('🙏'.repeat(500))).toBeNull();
    expect(outbox.push('🙏'.repeat(501))).toBe('too_long');
  });
});
