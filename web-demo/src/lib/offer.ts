/** In which phase an offer is, by the server's clock. The server decides; this only shows the same on the page. */
import type { Drop, Poll, Question, StreamState, Wheel } from './wire';

/** soon: not open yet · open · gone: sold out · paused: the server is not sure of the stock · closed */
export type DropPhase = 'soon' | 'open' | 'gone' | 'paused' | 'closed';

export function dropPhase(drop: Drop, now: number): DropPhase {
  if (drop.status === 'closed' || isOver(drop, now)) return 'closed';
  if (drop.status === 'paused') return 'paused';
  if (drop.left <= 0) return 'gone';
  return drop.opensAt !== undefined && drop.opensAt > now ? 'soon' : 'open';
}

const isOver = ({ endsAt }: { endsAt?: number }, now: number) => endsAt !== undefined && endsAt <= now;

/** A wheel or poll still takes part in the show. */
export const isOpen = (thing: Wheel | Poll, now: number) =>
  thing.status !== 'closed' && thing.status !== 'paused' && !isOver(thing, now);

/** A closed offer stays for a while, so that nobody wonders where it went. */
const lingerMs = 60_000;

/** What the viewers' page shows, the newest first: what is open, and of what has closed the newest if it ended just now. */
export function onShow({ drops, wheels, polls }: StreamState, now: number) {
  const fresh = ({ endsAt }: { endsAt?: number }) => endsAt !== undefined && Math.abs(now - endsAt) < lingerMs;
  const openDrops = drops.filter((drop) => dropPhase(drop, now) !== 'closed');
  const last = drops.at(-1);
  const lastDrop = openDrops.length === 0 && last && fresh(last) ? [last] : [];
  return {
    drops: [...openDrops, ...lastDrop].reverse(),
    wheels: wheels.filter((wheel) => isOpen(wheel, now)).reverse(),
    polls: polls.filter((poll, i) => isOpen(poll, now) || (i === polls.length - 1 && fresh(poll))).reverse(),
  };
}

/** Most wanted first; answered ones behind the open ones. Those of `kept` stay in that order, in front: nothing moves under a finger. */
export function ranked(questions: readonly Question[], kept: readonly string[] = []): Question[] {
  const rank = ({ status }: Question) => (status === 'answered' ? 1 : 0);
  const place = new Map(kept.map((id, i) => [id, i]));
  const placeOf = ({ id }: Question) => place.get(id) ?? kept.length;
  return questions
    .filter(({ status }) => status !== 'hidden')
    .sort((a, b) => placeOf(a) - placeOf(b) || rank(a) - rank(b) || b.votes - a.votes);
}
