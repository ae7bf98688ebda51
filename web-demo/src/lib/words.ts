/** The words of the language in use, as a store. First choice: what was picked here before; then the browser's. */
import { derived, writable } from 'svelte/store';
import type { CommandError } from './wire';
import { en, type Words } from './text.en';
import { hi } from './text.hi';

export type Language = 'en' | 'hi';
const all: Record<Language, Words> = { en, hi };
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

export const language = writable<Language>(firstChoice());
export const words = derived(language, (name) => all[name]);
language.subscribe((name) => (document.documentElement.lang = name));

export function switchLanguage(): void {
  language.update((name) => {
    const next = name === 'en' ? 'hi' : 'en';
    try {
      localStorage.setItem(storageKey, next);
    } catch {
      // It holds until the page is reloaded.
    }
    return next;
  });
}

export const errorText = (words: Words, error: Pick<CommandError, 'code'>) => words.error[error.code] ?? words.errorOther;
