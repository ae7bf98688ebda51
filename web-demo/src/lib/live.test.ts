import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Live } from './live';
import { FakeSocket, me, message, setUp, setUpJoined, stream } from './testing';

const page = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => message(from + i));

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('joining', () => {
  it('is live with history, people and title', () => {
    const { live, seqs } = setUpJoined(page(1, 3));
    expect(live.state).toMatchObject({ phase: 'live', me, viewers: 1, guest: false, stream: { title: 'Sarees' } });
    expect(seqs()).toEqual([1, 2, 3]);
  });

  it('is a guest without a token', () => {
    const socket = new FakeSocket();
    const live = new Live({ stream: 'main', open: (auth) => ((socket.auth = auth), socket) });
    expect(live.state.guest).toBe(true);
    expect(socket.auth).toEqual({});
  });

  it('waits for a stream that does not exist yet, and asks again', () => {
    const { socket, live, join } = setUp();
    socket.up();
    socket.take('stream:join').reply({ ok: false, error: { code: 'not_found', message: '' } });
    expect(live.state.phase).toBe('waiting');
    vi.advanceTimersByTime(10_000);
    join();
    expect(live.state.phase).toBe('live');
  });

  it('follows start, update and end', () => {
    const { socket, live } = setUpJoined();
    socket.fire('stream:updated', { stream: 'main', seq: 1, state: stream({ title: 'New', seq: 1 }) });
    expect(live.state.stream?.title).toBe('New');
    socket.fire('stream:ended', { stream: 'main', seq: 2, state: stream({ status: 'ended', seq: 2 }) });
    expect(live.state.phase).toBe('ended');
  });

  it('ignores what it has seen, and other streams', () => {
    const { socket, live } = setUpJoined(page(1, 5));
    socket.fire('stream:ended', { stream: 'main', seq: 4, state: stream({ status: 'ended', seq: 4 }) });
    socket.fire('stream:ended', { stream: 'other', seq: 9, state: stream({ id: 'other', status: 'ended', seq: 9 }) });
    socket.fire('viewers', { stream: 'other', count: 77 });
    expect(live.state).toMatchObject({ phase: 'live', viewers: 1 });
  });
});

describe('a connection that is too slow', () => {
  const late = (seq: number) => message(seq, { at: Date.now() - 6000 });

  it('is said to be behind, until an answer has come through', () => {
    const { socket, live } = setUpJoined();
    for (const seq of [1, 2, 3, 4]) {
      expect(live.state.behind).toBe(seq > 3);
      socket.fire('chat:message', late(seq));
    }
    // No answer in time: it still is.
    socket.take('stream:join').reply();
    expect(live.state.behind).toBe(true);
    socket.take('stream:join').reply({ ok: true, me, history: [], state: stream({ seq: 4 }) });
    expect(live.state.behind).toBe(false);
    expect(socket.sent).toEqual([]);
  });

  it('is not that of one message that had waited for approval, nor of a replay', () => {
    const { socket, live } = setUpJoined();
    for (const one of [late(1), late(2), message(3, { at: Date.now() }), late(4), late(5)]) socket.fire('chat:message', one);
    socket.down();
    for (const seq of [6, 7, 8, 9]) socket.fire('chat:message', late(seq));
    socket.up(true);
    expect(live.state).toMatchObject({ behind: false, caughtUp: 4 });
    expect(socket.sent).toEqual([]);
  });

  it('is no more behind once it is lost', () => {
    const { socket, live } = setUpJoined();
    for (const seq of [1, 2, 3]) socket.fire('chat:message', late(seq));
    socket.take('stream:join');
    socket.down();
    expect(live.state).toMatchObject({ phase: 'reconnecting', behind: false });
  });
});

describe('coming back', () => {
  it('keeps everything after a recovery, and counts what it brought', () => {
    const { socket, live, seqs } = setUpJoined(page(1, 2));
    socket.down();
    expect(live.state.phase).toBe('reconnecting');
    // The official client hands out what was missed before it tells of the connection.
    for (const missed of page(3, 5)) socket.fire('chat:message', missed);
    socket.up(true);
    expect(live.state).toMatchObject({ phase: 'live', caughtUp: 3 });
    expect(socket.sent).toEqual([]);
    expect(seqs()).toEqual([1, 2, 3, 4, 5]);
    vi.advanceTimersByTime(10_000);
    expect(live.state.caughtUp).toBeNull();
  });

  it('asks for the counts after a recovery, which nobody replays', () => {
    const { socket, live } = setUpJoined();
    socket.down();
    socket.up(true);
    vi.advanceTimersByTime(6000);
    socket.take('stream:join').reply({ ok: true, me, history: [], state: stream({ viewers: 99, reactions: { heart: 7 } }) });
    expect(live.state).toMatchObject({ viewers: 99, stream: { reactions: { heart: 7 } } });
  });

  it('joins again when the connection dropped before the first join was answered', () => {
    const { socket, join, live } = setUp();
    socket.up();
    socket.take('stream:join');
    socket.down();
    socket.up(true);
    join();
    expect(live.state.phase).toBe('live');
  });

  it('joins again without recovery, and merges the history by seq', () => {
    const { socket, live, join, seqs } = setUpJoined(page(1, 3));
    socket.down();
    socket.up();
    expect(live.state.phase).toBe('reconnecting');
    join(page(2, 6));
    expect(seqs()).toEqual([1, 2, 3, 4, 5, 6]);
    expect(live.state).toMatchObject({ phase: 'live', caughtUp: 3 });
  });

  it('loads what lies between what it knew and the history', async () => {
    const { socket, live, join, seqs } = setUpJoined(page(1, 2));
    socket.down();
    socket.up();
    join(page(101, 300));
    const asked = socket.take('stream:history');
    expect(asked.body).toEqual({ stream: 'main', before: 101, limit: 100 });
    asked.reply({ ok: true, messages: page(1, 100) });
    await vi.advanceTimersByTimeAsync(0);
    expect(live.chat.hole).toBeNull();
    expect(seqs()).toHaveLength(300);
    expect(live.state.caughtUp).toBe(298);
  });

  it('stops loading by itself after 200, and says where something is missing', async () => {
    const { socket, live, join } = setUpJoined(page(1, 2));
    socket.down();
    socket.up();
    join(page(801, 1000));
    for (const [from, to] of [
      [701, 800],
      [601, 700],
    ] as const) {
      socket.take('stream:history').reply({ ok: true, messages: page(from, to) });
      await vi.advanceTimersByTimeAsync(0);
    }
    expect(socket.sent).toEqual([]);
    expect(live.chat.hole).toMatchObject({ after: 2, before: 601, lost: false });
  });

  it('joins again after a reset, with a new epoch behind the old messages', () => {
    const { socket, join, seqs } = setUpJoined(page(50, 52));
    socket.fire('stream:reset', { stream: 'main', epoch: 'e2', reason: 'lost' });
    join(page(1, 2), { epoch: 'e2' });
    expect(seqs()).toEqual([50, 51, 52, 1, 2]);
    socket.fire('stream:ended', { stream: 'main', seq: 3, state: stream({ status: 'ended', epoch: 'e2', seq: 3 }) });
    expect(socket.sent).toEqual([]);
  });

  it('notices a new epoch also when the stream was gone for a while', () => {
    const { socket, join, seqs } = setUpJoined(page(50, 52));
    socket.down();
    socket.up();
    socket.take('stream:join').reply({ ok: false, error: { code: 'not_found', message: '' } });
    vi.advanceTimersByTime(10_000);
    join(page(1, 2), { epoch: 'e2' });
    expect(seqs()).toEqual([50, 51, 52, 1, 2]);
  });

  it('connects again after the server said goodbye', () => {
    const { socket, live } = setUpJoined();
    socket.down('io server disconnect');
    expect(live.state.phase).toBe('reconnecting');
    vi.advanceTimersByTime(10_000);
    expect(socket.connects).toBe(2);
  });

  it('tries at once when the network is said to be back', () => {
    const { socket, live } = setUpJoined();
    live.nudge();
    expect(socket.connects).toBe(1);
    socket.down();
    live.nudge();
    expect(socket.connects).toBe(2);
  });

  it('stays ended through a reconnection', () => {
    const { socket, live } = setUpJoined();
    socket.fire('stream:ended', { stream: 'main', seq: 1, state: stream({ status: 'ended', seq: 1 }) });
    socket.down();
    expect(live.state.phase).toBe('ended');
  });
});

describe('sending', () => {
  it('repeats what was on its way when the connection dropped, once it is back', () => {
    const { socket, live, seqs } = setUpJoined();
    live.send('hello');
    const first = socket.take('chat:send');
    socket.down();
    first.reply();
    expect(live.chat.drafts()).toMatchObject([{ state: 'waiting' }]);
    const mine = message(1, { user: me, text: 'hello' });
    socket.fire('chat:message', mine);
    socket.up(true);
    const second = socket.take('chat:send');
    expect(second.body.clientId).toBe(first.body.clientId);
    second.reply({ ok: true, message: mine });
    expect(seqs()).toEqual([1]);
  });

  it('sends nothing before the stream is joined again', () => {
    const { socket, live, join } = setUpJoined();
    socket.down();
    live.send('hello');
    socket.up();
    expect(socket.sent.map((sent) => sent.event)).toEqual(['stream:join']);
    join();
    socket.take('chat:send');
  });

  it('tells until when the server wants quiet', () => {
    const { socket, live } = setUpJoined();
    live.send('hello');
    socket.take('chat:send').reply({ ok: false, error: { code: 'rate_limited', message: '', retryAfterMs: 2000 } });
    expect(live.state).toMatchObject({ coolUntil: Date.now() + 2000, coolCode: 'rate_limited' });
  });
});

describe('being let go', () => {
  it('is refused for a bad token, and does not try again by itself', () => {
    const { socket, live } = setUp();
    socket.refuse('unauthorized');
    expect(live.state).toMatchObject({ phase: 'refused', refusal: { code: 'unauthorized' } });
    vi.advanceTimersByTime(60_000);
    expect(socket.connects).toBe(1);
  });

  it('tries again when the server is not ready', () => {
    const { socket, live } = setUp();
    socket.refuse('unavailable');
    expect(live.state.phase).toBe('connecting');
    vi.advanceTimersByTime(10_000);
    expect(socket.connects).toBe(2);
  });

  it('leaves it to the official client to try again when the network is away', () => {
    const { socket, live } = setUp();
    socket.fire('connect_error', new Error('websocket error'));
    expect(live.state.phase).toBe('connecting');
    vi.advanceTimersByTime(60_000);
    expect(socket.connects).toBe(1);
  });

  it('goes on as a guest when asked', () => {
    const { socket, live } = setUp();
    socket.refuse('unauthorized');
    live.reconnectAs(undefined);
    expect(socket.auth).toEqual({});
    expect(live.state).toMatchObject({ phase: 'connecting', guest: true });
  });

  it.each(['io server disconnect', 'transport close'])('has expired when the token ran out and the server let go by %s', (reason) => {
    const { socket, live } = setUpJoined();
    socket.fire('token:expired', {});
    expect(live.state).toMatchObject({ phase: 'live', closesAt: Date.now() + 30_000 });
    socket.down(reason);
    if (reason === 'transport close') socket.refuse('unauthorized');
    expect(live.state.phase).toBe('expired');
  });

  it('takes a newer token without interruption', async () => {
    const { socket, live } = setUpJoined();
    socket.fire('token:expired', {});
    const refreshed = live.refresh('newer');
    socket.take('auth:refresh').reply({ ok: true });
    await refreshed;
    expect(live.state.closesAt).toBeNull();
    expect(socket.auth).toEqual({ token: 'newer' });
    expect(socket.connects).toBe(1);
  });

  it('is banned, also after a reconnection that recovers', () => {
    const { socket, live } = setUpJoined();
    socket.fire('user:banned', { stream: 'main' });
    socket.down();
    socket.up(true);
    socket.take('stream:join').reply({ ok: false, error: { code: 'banned', message: '' } });
    expect(live.state.phase).toBe('banned');
  });

  it('closes only the transport, in time, when the server drains and does not close first', () => {
    const { socket, live } = setUpJoined();
    socket.fire('server:draining', { reconnectWithinMs: 4000 });
    expect(live.state).toMatchObject({ phase: 'live', moving: true });
    vi.advanceTimersByTime(4000);
    expect(socket.transportsClosed).toBe(1);
    socket.down();
    expect(live.state).toMatchObject({ phase: 'reconnecting', moving: true });
    socket.up(true);
    expect(live.state).toMatchObject({ phase: 'live', moving: false });
  });
});
