/** A show with everything on at once: what is hard to bring about honestly is said into the page's connection. */
import { expect } from '@playwright/test';
import type { Injected } from './injected';
import { drop, poll, products, questions, wheel } from './offers';
import { type Look, phase, type Show } from './show';

export type Tell = (event: string, body: object) => void;

export async function fullShow(show: Show, look: Look = {}) {
  await show.onAir();
  let to: Injected | undefined;
  const page = await show.viewer({ sub: 'asha', name: 'Asha Rao' }, { ...look, inject: (injected) => (to = injected) });
  await expect(phase(page)).toHaveAttribute('data-phase', 'live');
  await page.getByRole('textbox').fill('Is the blue one pure cotton?');
  await page.getByRole('textbox').press('Enter');
  await expect(page.getByTestId('message')).toHaveCount(1);
  if (!to) throw new Error('nothing to speak through');
  const injected = to;
  const tell: Tell = (event, body) => injected.say(event, { stream: show.stream, ...body });
  return { page, tell, injected };
}

export function fill(tell: Tell, now = Date.now()): void {
  tell('products', { products });
  tell('product:pinned', { product: products[1] });
  tell('drop:opened', { drop: drop(now) });
  tell('wheel:opened', { wheel });
  tell('poll:opened', { poll: poll(now) });
  for (const question of questions) tell('question:asked', { question });
  tell('reactions', { totals: { heart: 12_400, fire: 310 }, added: { heart: 40, fire: 6 } });
}
