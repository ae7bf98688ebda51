/** How a person is shown: a steady colour, initials, and a name even where the server gave none. */
import type { Person } from './wire';

/** More than these, and neighbours are not told apart. */
const hues = 12;

/** A hue (0 to 359) that stays with the id. */
export function hueOf(id: string): number {
  let hash = 2166136261;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 16777619);
  // Short ids differ in few bits: spread them over all before taking the remainder.
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (((hash ^ (hash >>> 16)) >>> 0) % hues) * (360 / hues) + 12;
}

export const nameOf = (person: Pick<Person, 'id' | 'name'>) => person.name || person.id;

/** The first letter of the first two words, upper case. */
export function initialsOf(name: string): string {
  const words = name.trim().split(/\s+/).slice(0, 2);
  return words.map((word) => [...word][0]?.toUpperCase() ?? '').join('') || '?';
}

/** May moderate: only ever a hint of what to show, the server decides. */
export const isStaff = (me: Pick<Person, 'role'> | null) => me !== null && ['supplier', 'moderator', 'service'].includes(me.role);
