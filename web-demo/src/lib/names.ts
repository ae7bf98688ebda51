/** How a person is shown: a steady colour, initials, and a name even where the server gave none. */
import type { Person } from './wire';

const hues = [12, 40, 75, 130, 160, 190, 225, 255, 285, 310, 335];

/** A hue that stays with the id; one of a few that are told apart at a glance. */
export function hueOf(id: string): number {
  let hash = 2166136261;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 16777619);
  // Short ids differ in few bits: spread them over all before taking the remainder.
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hues[((hash ^ (hash >>> 16)) >>> 0) % hues.length] as number;
}

export const nameOf = (person: Pick<Person, 'id' | 'name'>) => person.name || person.id;

/** The first letter of the first two words, upper case. */
export function initialsOf(name: string): string {
  const words = name.trim().split(/\s+/).slice(0, 2);
  return words.map((word) => [...word][0]?.toUpperCase() ?? '').join('') || '?';
}
