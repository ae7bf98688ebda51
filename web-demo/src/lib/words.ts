/**
 * The words of the language in use, as a store. First choice: what was picked here before; then the browser's.
 * Each language is a file of its own, and only the one in use is loaded.
 */
import { get, writable } from 'svelte/store';
import type { CommandError } from './wire';
import type { Words } from './text.en';

export type Language = 'en' | 'hi';
const files: Record<Language, () => Promise<Words>> = {
  en: async () => (await import('./text.en')).en,
  hi: async () => (await import('./text.hi')).hi,
};
const storageKey = 'haat.language';

function firstChoice(): Language {
  try {
    const stored = localStorage.getItem(storageKey);
    if (stored === 'en' || stored === 'hi') return stored;
  } catch {
    // Storage may be switched off; the browser's language will do.
  }
  return navigator.language.startsWith('hi') ? 'hi' : 'en';
}

export const language = writable<Language>('en');
/** Filled before the page is drawn: see `learn`. */
export const words = writable<Words>();

/** Loads more words, and answers how to use them. */
type More = (name: Language) => Promise<() => void>;
const more: More[] = [];

/** Has a page's own words loaded and changed together with the shared ones. */
export const withWords = (load: More) => void more.push(load);

/** Loads the words of a language, and speaks it. */
export async function learn(name: Language = firstChoice()): Promise<void> {
  const [learnt, ...uses] = await Promise.all([files[name](), ...more.map((load) => load(name))]);
  words.set(learnt);
  for (const use of uses) use();
  language.set(name);
  document.documentElement.lang = name;
}

export async function switchLanguage(): Promise<void> {
  const next = get(language) === 'en' ? 'hi' : 'en';
  try {
    await learn(next);
    localStorage.setItem(storageKey, next);
  } catch {
    // Without a network the language stays; without storage the new one holds until the page is reloaded.
  }
}

export const errorText = (words: Words, error: Pick<CommandError, 'code'>) => words.error[error.code] ?? words.errorOther;

/** `14:05`, or with the day where it is not today's. */
export function timeOfDay(at: number, language: Language): string {
  const date = new Date(at);
  const isToday = date.toDateString() === new Date().toDateString();
  const day = !isToday && { day: 'numeric', month: 'short' } as const;
  // Never broken between the figures and their `pm`.
  return date.toLocaleString(`${language}-IN`, { hour: 'numeric', minute: '2-digit', ...day }).replaceAll(' ', '\u00a0');
}
