/** How a person is shown: a steady colour, initials, and a name even where the server gave none. */
import type { Person } from './wire';

/** A hue (0–359) that stays with the id; neighbours in the alphabet land far apart. */
export function hueOf(id: string): number {
  let hash = 2166136261;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 16777619);
  return ((hash >>> 8) * 137) % 360;
}

export const nameOf = (person: Pick<Person, 'id' | 'name'>) => person.name || person.id;

/** The first letter of the first two words, upper case. */
export function initialsOf(name: string): string {
  const words = name.trim().split(/\s+/).slice(0, 2);
  return words.map((word) => [...word][0]?.toUpperCase() ?? '').join('') || '?';
}
