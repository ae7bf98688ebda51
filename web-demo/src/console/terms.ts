/** The console's own words, as a store; they follow the language of the page. */
import { writable } from 'svelte/store';
import { type Language, withWords } from '../lib/words';
import type { Terms } from './text.en';

const files: Record<Language, () => Promise<Terms>> = {
  en: async () => (await import('./text.en')).en,
  hi: async () => (await import('./text.hi')).hi,
};

/** Filled before the page is drawn. */
export const terms = writable<Terms>();

withWords(async (name) => {
  const learnt = await files[name]();
  return () => terms.set(learnt);
});
