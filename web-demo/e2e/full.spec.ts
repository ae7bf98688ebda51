/** A show with everything on at once, injected into the connection: how it looks, and that every outcome is told. */
import { expect, type Page } from '@playwright/test';
import { Injected } from './injected';
import { drop, poll, products, questions, wheel } from './offers';
import { desktop, phase, type Show, shot, test, type Look } from './show';

const asha = { sub: 'asha', name: 'Asha Rao' };

async function fullShow(show: Show, look: Look = {}) {
  await show.onAir();
  let to: Injected | undefined;
  const page = await show.viewer(asha, { ...look, inject: (injected) => (to = injected) });
  await expect(phase(page)).toHaveAttribute('data-phase', 'live');
  await page.getByRole('textbox').fill('Is the blue one pure cotton?');
  await page.getByRole('textbox').press('Enter');
  await expect(page.getByTestId('message')).toHaveCount(1);
  if (!to) throw new Error('not injected');
  const injected = to;
  const tell = (event: string, body: object) => injected.say(event, { stream: show.stream, ...body });
  return { page, tell, injected };
}

function fill(tell: (event: string, body: object) => void, now = Date.now()) {
  tell('products', { products });
  tell('product:pinned', { product: products[1] });
  tell('drop:opened', { drop: drop(now) });
  tell('wheel:opened', { wheel });
  tell('poll:opened', { poll: poll(now) });
  for (const question of questions) tell('question:asked', { question });
  tell('reactions', { totals: { heart: 12_400, fire: 310 }, added: { heart: 40, fire: 6 } });
}

const offers = (page: Page) => page.getByTestId('offer');

for (const [name, look] of [
  ['phone-light', {}],
  ['phone-dark', { colorScheme: 'dark' }],
  ['phone-hindi', { locale: 'hi-IN' }],
  ['desktop-light', { viewport: desktop }],
  ['desktop-dark', { viewport: desktop, colorScheme: 'dark' }],
] as [string, Look][]) {
  test(`everything at once, ${name}`, async ({ show }) => {
    const { page, tell } = await fullShow(show, look);
    fill(tell);
    await expect(offers(page)).toHaveCount(4);
    const message = { id: 'x', stream: show.stream, seq: 0, at: Date.now(), user: { id: 'meena', name: 'Meena', role: 'supplier' }, text: 'Free delivery above ₹999 today. Ask me anything below!' };
    tell('chat:pinned', { message });
    await page.getByTestId('heart').click();
    await shot(page, `full-${name}`);
    tell('notice', { text: 'The next drop opens in five minutes: peacock blue, only 20 pieces.' });
    tell('wheel:won', { wheel: 'w1', user: { id: 'f', name: 'Fatima S' }, prize: wheel.prizes[0] });
    await expect(page.getByTestId('news')).not.toBeEmpty();
    await shot(page, `full-notice-${name}`);
    for (const kind of ['shop', 'questions']) {
      await page.getByTestId(`open-${kind}`).click();
      await expect(page.getByRole('dialog')).toBeVisible();
      await shot(page, `full-${kind}-${name}`);
      await page.keyboard.press('Escape');
      await expect(page.getByRole('dialog')).toHaveCount(0);
    }
    for (const kind of ['wheel', 'poll']) {
      await page.locator(`[data-kind=${kind}] button, button[data-kind=${kind}]`).click();
      await expect(page.getByRole('dialog')).toBeVisible();
      await shot(page, `full-${kind}-${name}`);
      await page.keyboard.press('Escape');
    }
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
    const heights = await page.locator('button:visible').evaluateAll((all) => all.map((b) => b.getBoundingClientRect().height));
    expect(Math.min(...heights)).toBeGreaterThanOrEqual(44);
  });
}
