/** The live core fed with what the server says about a show: what a page then has to show. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { noticeText, pinnedProduct } from './feed';
import { drop, me, message, poll, saree, setUpJoined, stream, wheel } from './testing';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Fires events that count, numbered from 1. */
function show(state: Parameters<typeof setUpJoined>[1] = {}) {
  const all = setUpJoined([], state);
  let seq = 0;
  const say = (event: string, body: object) => all.socket.fire(event, { stream: 'main', seq: ++seq, ...body });
  const now = () => {
    const { stream } = all.live.state;
    if (!stream) throw new Error('no stream');
    return stream;
  };
  return { ...all, say, now };
}

describe('products', () => {
  it('follows the catalogue and the pin', () => {
    const { say, now } = show();
    say('products', { products: [saree] });
    say('product:pinned', { product: saree });
    expect(pinnedProduct(now())).toEqual(saree);
    say('products', { products: [{ ...saree, stock: 3 }] });
    expect(pinnedProduct(now())?.stock).toBe(3);
    say('product:pinned', { product: null });
    expect(pinnedProduct(now())).toBeUndefined();
  });

  it('finds a pin that is only an id', () => {
    const { now } = show({ products: [saree], pinnedProduct: 'p1' });
    expect(pinnedProduct(now())).toEqual(saree);
  });
});

describe('a drop', () => {
  it('opens, sells and closes', () => {
    const { say, socket, now } = show();
    say('drop:opened', { drop: drop() });
    socket.fire('drop:stock', { stream: 'main', drop: 'd1', left: 7 });
    expect(now().drops).toMatchObject([{ id: 'd1', left: 7, status: 'open' }]);
    say('drop:closed', { drop: 'd1', sold: 13 });
    expect(now().drops).toMatchObject([{ id: 'd1', left: 7, status: 'closed', endsAt: Date.now() }]);
  });

  it('of another stream, or unknown, changes nothing', () => {
    const { socket, now } = show({ drops: [drop()] });
    socket.fire('drop:stock', { stream: 'other', drop: 'd1', left: 1 });
    socket.fire('drop:stock', { stream: 'main', drop: 'd9', left: 1 });
    expect(now().drops).toEqual([drop()]);
  });

  it('shows what the answer to the own claim says is left', () => {
    const { socket, live, now } = show({ drops: [drop()] });
    live.claims.tap('d1');
    const claim = { id: 'c1', drop: 'd1', quantity: 1, price: drop().price, at: 1 };
    socket.take('drop:claim').reply({ ok: true, claim, left: 4 });
    expect(live.claims.all).toMatchObject({ d1: { state: 'done', got: { claim } } });
    expect(now().drops[0]?.left).toBe(4);
  });

  it('has nothing left once a claim was told so', () => {
    const { socket, live, now } = show({ drops: [drop()] });
    live.claims.tap('d1');
    socket.take('drop:claim').reply({ ok: false, error: { code: 'sold_out', message: '' } });
    expect(live.claims.all).toMatchObject({ d1: { state: 'refused', error: { code: 'sold_out' } } });
    expect(now().drops[0]?.left).toBe(0);
  });

  it('repeats a claim under its request id when the connection was lost over it', () => {
    const { socket, live } = show({ drops: [drop()] });
    live.claims.tap('d1');
    const first = socket.take('drop:claim');
    socket.down();
    expect(live.claims.all).toMatchObject({ d1: { state: 'unknown' } });
    socket.up(true);
    const second = socket.take('drop:claim');
    expect(second.body).toEqual(first.body);
    second.reply({ ok: true, claim: { id: 'c1', drop: 'd1', quantity: 1, price: drop().price, at: 1 }, left: 4 });
    first.reply();
    expect(live.claims.all).toMatchObject({ d1: { state: 'done', times: 1 } });
  });

  it('asks how much is left after a recovery, because stock is not replayed', () => {
    const { socket, now } = show({ drops: [drop()] });
    socket.down();
    socket.up(true);
    const asked = socket.take('stream:join');
    expect(asked.body).toEqual({ stream: 'main', history: 0 });
    asked.reply({ ok: true, me, history: [], state: stream({ drops: [drop({ left: 2 })] }) });
    expect(now().drops[0]?.left).toBe(2);
  });
});

describe('wheel and poll', () => {
  it('shows a wheel until it closes, and then its seed', () => {
    const { say, now } = show();
    say('wheel:opened', { wheel: wheel() });
    expect(now().wheels).toEqual([wheel()]);
    say('wheel:closed', { wheel: { ...wheel(), seed: 'cd34', status: 'closed' } });
    expect(now().wheels).toMatchObject([{ id: 'w1', seed: 'cd34', status: 'closed' }]);
  });

  it('counts votes until the poll closes', () => {
    const { say, socket, now } = show();
    say('poll:opened', { poll: poll() });
    socket.fire('poll:tally', { stream: 'main', poll: 'q1', tally: [3, 1], votes: 4 });
    expect(now().polls).toMatchObject([{ tally: [3, 1], votes: 4, status: 'open' }]);
    say('poll:closed', { poll: 'q1', tally: [5, 1], votes: 6 });
    expect(now().polls).toMatchObject([{ tally: [5, 1], votes: 6, status: 'closed' }]);
  });
});

describe('questions, notices and pins', () => {
  const question = { id: 'x', text: 'Is it cotton?', user: { id: 'u1', name: 'Asha' }, votes: 1, status: 'open' };

  it('keeps one entry for each question', () => {
    const { say, now } = show();
    say('question:asked', { question });
    say('question:updated', { question: { ...question, votes: 9, status: 'answered', answer: 'Half.' } });
    expect(now().questions).toMatchObject([{ id: 'x', votes: 9, answer: 'Half.' }]);
  });

  it('shows the newest notice, however the state writes it', () => {
    const { say, now } = show({ notice: { text: 'first' } });
    expect(noticeText(now())).toBe('first');
    say('notice', { text: 'second' });
    expect(noticeText(now())).toBe('second');
  });

  it('takes a deleted message off the top', () => {
    const { say, now } = show();
    say('chat:pinned', { message: message(4) });
    say('chat:deleted', { message: 'other' });
    expect(now().pinnedMessage?.text).toBe('m4');
    say('chat:deleted', { message: 'id4' });
    expect(now().pinnedMessage).toBeNull();
  });

  it('knows the mode of the chat, also when only a part of it changes', () => {
    const { say, now } = show({ mode: { slowSeconds: 0, membersOnly: false, paused: false } });
    say('chat:mode', { slowSeconds: 10 });
    expect(now().mode).toEqual({ slowSeconds: 10, membersOnly: false, paused: false });
  });
});

describe('replays', () => {
  it('does nothing twice, and tells the page of each event once', () => {
    const { socket, live, now } = show();
    const heard = vi.fn();
    live.on('wheel:won', heard);
    const won = { stream: 'main', seq: 1, wheel: 'w1', user: { id: 'u', name: 'Asha' }, prize: wheel().prizes[0] };
    socket.fire('wheel:won', won);
    socket.fire('wheel:won', won);
    expect(heard).toHaveBeenCalledTimes(1);
    socket.fire('drop:opened', { stream: 'main', seq: 1, drop: drop() });
    expect(now().drops).toEqual([]);
  });

  it('keeps the clock when an old state is replayed', () => {
    vi.setSystemTime(1_000_000);
    const { socket, live } = show({ now: 1_004_000 });
    expect(live.state.clockSkew).toBe(4000);
    socket.fire('stream:updated', { stream: 'main', seq: 1, state: stream({ now: 900_000, seq: 1 }) });
    expect(live.state.clockSkew).toBe(4000);
  });

  it('never lets a total of reactions fall', () => {
    const { socket, now } = show({ reactions: { heart: 10 } });
    socket.fire('reactions', { stream: 'main', totals: { heart: 12, fire: 1 }, added: { heart: 2, fire: 1 } });
    socket.fire('stream:updated', { stream: 'main', seq: 1, state: stream({ reactions: { heart: 5 }, seq: 1 }) });
    expect(now().reactions).toEqual({ heart: 12, fire: 1 });
  });
});

describe('sanctions', () => {
  it('is muted until then, and not any more after a message went through', () => {
    const { socket, live } = show();
    const until = Date.now() + 60_000;
    socket.fire('user:muted', { stream: 'main', until, reason: 'spam' });
    expect(live.state.muted).toEqual({ until, reason: 'spam' });
    live.send('hello');
    socket.take('chat:send').reply({ ok: true, message: message(1, { user: me }) });
    expect(live.state.muted).toBeNull();
  });

  it('learns from a refused message that it is muted', () => {
    const { socket, live } = show();
    live.send('hello');
    socket.take('chat:send').reply({ ok: false, error: { code: 'muted', message: '', retryAfterMs: 5000 } });
    expect(live.state.muted?.until).toBe(Date.now() + live.state.clockSkew + 5000);
  });

  it('is muted no more when the server says so', () => {
    const { socket, live } = show();
    socket.fire('user:muted', { stream: 'main', until: Date.now() + 60_000 });
    socket.fire('user:muted', { stream: 'main', until: Date.now() });
    expect(live.state.muted).toBeNull();
  });

  it('comes back by itself when a ban is over', () => {
    const { socket, live, join } = show();
    socket.fire('user:banned', { stream: 'main', until: Date.now() + 60_000 });
    expect(live.state).toMatchObject({ phase: 'banned', banned: { until: Date.now() + 60_000 } });
    vi.advanceTimersByTime(59_000);
    expect(socket.sent).toEqual([]);
    vi.advanceTimersByTime(3000);
    join();
    expect(live.state).toMatchObject({ phase: 'live', banned: null });
  });
});

it('sends a reply with what it answers', () => {
  const { socket, live } = show();
  live.send('yes', 'id7');
  expect(socket.take('chat:send').body).toMatchObject({ stream: 'main', text: 'yes', replyTo: 'id7' });
});
