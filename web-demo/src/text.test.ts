/** Every word that people read is in the text files, so that a translator finds it: none is written in a component. */
import { readdirSync, readFileSync } from 'node:fs';
import { parse } from 'svelte/compiler';
import { describe, expect, it } from 'vitest';
import { en as consoleEnglish } from './console/text.en';
import { hi as consoleHindi } from './console/text.hi';
import { en } from './lib/text.en';
import { hi } from './lib/text.hi';

const folder = new URL('./', import.meta.url);
const components = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.svelte'));
/** Attributes that are shown or read aloud. */
const spoken = new Set(['alt', 'aria-label', 'aria-description', 'aria-roledescription', 'aria-valuetext', 'label', 'placeholder', 'title']);
/** The name of the product, and signs that are the same in every language. */
const isNoWord = (text: string) => !/\p{L}/u.test(text.replaceAll('haat', ''));

interface Node {
  type?: string;
  name?: string;
  data?: string;
  raw?: string;
  value?: unknown;
}

/** The texts that a component has of its own. */
function literals(source: string): string[] {
  const found: string[] = [];
  const look = (node: unknown, isSpoken: boolean): void => {
    if (Array.isArray(node)) return node.forEach((one) => look(one, isSpoken));
    if (typeof node !== 'object' || node === null) return;
    const { type, name = '', data = '', value } = node as Node;
    if (type === 'Text' && isSpoken && !isNoWord(data)) found.push(data.trim());
    if (type === 'Literal' && isSpoken && typeof value === 'string' && /^\p{Lu}|\p{L}.*\s.*\p{L}/u.test(value)) found.push(value);
    for (const [key, child] of Object.entries(node)) {
      if (key === 'parent') continue;
      look(child, type === 'Attribute' || type === 'StyleDirective' ? spoken.has(name) : isSpoken);
    }
  };
  const { fragment } = parse(source, { modern: true });
  look(fragment, true);
  return found;
}

/** The places of all texts, and what a text takes. */
function shape(words: object, at = ''): string[] {
  return Object.entries(words).flatMap(([key, value]: [string, unknown]) => {
    const place = `${at}.${key}`;
    if (typeof value === 'function') return [`${place}(${value.length})`];
    return typeof value === 'object' && value !== null ? shape(value, place) : [place];
  });
}

const texts = (words: object): unknown[] =>
  Object.values(words).flatMap((value: unknown) => (typeof value === 'object' && value !== null ? texts(value) : [value]));

describe('the words', () => {
  it('finds what it looks for', () => {
    const source = '<b class="on air">{n} left</b><input placeholder="Your name" alt={open ? "Close it" : $words.open} />';
    expect(literals(source)).toEqual(['left', 'Your name', 'Close it']);
    expect(components.length).toBeGreaterThan(30);
  });

  it.each(components)('are none of %s', (name) => {
    expect(literals(readFileSync(new URL(name, folder), 'utf8'))).toEqual([]);
  });

  it.each([
    ['the page', en, hi],
    ['the console', consoleEnglish, consoleHindi],
  ])('of %s are there in every language', (_, english, hindi) => {
    const taking = (words: object) => shape(words).map((place) => place.replace(/\(\d\)$/, '()')).sort();
    expect(taking(hindi)).toEqual(taking(english));
    for (const text of [...texts(english), ...texts(hindi)]) expect(text).not.toBe('');
  });
});
