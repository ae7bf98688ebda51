/**
 * What each event means for the stream's state: pure functions, so that a replay of the same events gives the same state.
 * An event about something unknown changes nothing.
 */
import type { EventName, Events } from './events';
import type { Drop, Poll, Product, StreamState, Wheel } from './wire';

type Change = Partial<StreamState>;
type Rule<E extends EventName> = (state: StreamState, body: Events[E], now: number) => Change;

const idOf = (thing: string | { id: string }) => (typeof thing === 'string' ? thing : thing.id);

/** The list with the one of that id changed. */
function edited<T extends { id: string }>(list: readonly T[], id: string, change: Partial<T>): T[] {
  return list.map((one) => (one.id === id ? { ...one, ...change } : one));
}

/** The list with this one in the place of the one of the same id, or at its end. */
function put<T extends { id: string }>(list: readonly T[], one: T): T[] {
  return list.some(({ id }) => id === one.id) ? edited(list, one.id, one) : [...list, one];
}

/** A total never falls: an older one may come late, from another gateway. */
function highest(a: Record<string, number>, b: Record<string, number>): Record<string, number> {
  const all = { ...a };
  for (const [kind, count] of Object.entries(b)) all[kind] = Math.max(all[kind] ?? 0, count);
  return all;
}

/** The list with that one closed, now if not before. What the closing says of it counts; the rest stays as it was known. */
function shut<T extends Drop | Wheel | Poll>(list: readonly T[], thing: string | T, now: number, more: Partial<T> = {}): T[] {
  return list.map((one) => {
    if (one.id !== idOf(thing)) return one;
    const last = { ...one, ...more, ...(typeof thing === 'object' && thing) };
    return { ...last, status: 'closed', endsAt: Math.min(last.endsAt ?? now, now) };
  });
}

const rules: { [E in EventName]?: Rule<E> } = {
  'stream:started': (_, body) => body.state,
  'stream:updated': (state, body) => ({ ...body.state, reactions: highest(state.reactions, body.state.reactions) }),
  'stream:ended': (state, body) => ({ ...body.state, reactions: highest(state.reactions, body.state.reactions) }),
  reactions: (state, body) => ({ reactions: highest(state.reactions, body.totals) }),
  'chat:pinned': (_, body) => ({ pinnedMessage: body.message }),
  'chat:deleted': (state, body) => (state.pinnedMessage?.id === body.message ? { pinnedMessage: null } : {}),
  'chat:mode': ({ mode }, { slowSeconds, membersOnly, paused, mode: whole }) => {
    const change = whole ?? { slowSeconds, membersOnly, paused };
    return { mode: { ...mode, ...Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined)) } };
  },
  notice: (_, body) => ({ notice: body.text }),
  products: (_, body) => ({ products: body.products }),
  'product:pinned': (_, body) => ({ pinnedProduct: body.product }),
  'drop:opened': (state, { drop }) => ({ drops: put(state.drops, { ...drop, left: drop.left ?? drop.stock }) }),
  'drop:stock': (state, body) => ({ drops: edited(state.drops, body.drop, { left: body.left }) }),
  'drop:closed': (state, body, now) => ({ drops: shut(state.drops, body.drop, now) }),
  'wheel:opened': (state, body) => ({ wheels: put(state.wheels, body.wheel) }),
  'wheel:closed': (state, { wheel, seed }, now) => ({ wheels: shut(state.wheels, wheel, now, seed ? { seed } : {}) }),
  'poll:opened': (state, { poll }) => ({
    polls: put(state.polls, { ...poll, tally: poll.tally ?? poll.options.map(() => 0), votes: poll.votes ?? 0 }),
  }),
  'poll:tally': (state, { poll, tally, votes }) => ({ polls: edited(state.polls, poll, { tally, votes }) }),
  'poll:closed': (state, { poll, tally, votes }, now) => ({
    polls: shut(state.polls, poll, now, { ...(tally && { tally }), ...(votes !== undefined && { votes }) }),
  }),
  'question:asked': (state, body) => ({ questions: put(state.questions, body.question) }),
  'question:updated': (state, body) => ({ questions: put(state.questions, body.question) }),
};

/** Events that change the state, in no order. */
export const stateEvents = Object.keys(rules) as EventName[];

/** The state after the event, which came at `now` (server clock, milliseconds). */
export function applied<E extends EventName>(state: StreamState, event: E, body: Events[E], now: number): StreamState {
  const rule = rules[event] as Rule<E> | undefined;
  return rule ? { ...state, ...rule(state, body, now) } : state;
}

/** A state with every list there, whatever a gateway left out. */
export function complete(state: Partial<StreamState>): StreamState {
  const lists = { products: [], drops: [], wheels: [], polls: [], questions: [] };
  const singles = { reactions: {}, pinnedProduct: null, pinnedMessage: null, notice: null, mode: {} };
  return { ...lists, ...singles, ...state } as StreamState;
}

export const productOf = (state: StreamState, product: string | Product): Product | undefined =>
  state.products.find(({ id }) => id === idOf(product)) ?? (typeof product === 'object' ? product : undefined);

/** The product on top of the page. Where the catalogue has it, its entry there is the newer one. */
export const pinnedProduct = (state: StreamState): Product | undefined =>
  state.pinnedProduct === null ? undefined : productOf(state, state.pinnedProduct);

export const noticeText = ({ notice }: StreamState): string => (typeof notice === 'string' ? notice : (notice?.text ?? ''));
