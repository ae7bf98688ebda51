/** A show with everything on at once, injected into the connection: how it looks, and that every outcome is told. */
import { expect, type Page } from '@playwright/test';
import { fill, fullShow } from './full';
import { drop, wheel } from './offers';
import { desktop, type Look, shot, test } from './show';

const offers = (page: Page) => page.getByTestId('offer');

/** What the reactions' buttons lie on top of, that one should read or press. */
const covered = (page: Page) =>
  page.evaluate(() => {
    /** What can be seen of it: offers scroll. */
    const seen = (part: Element) => {
      const { left, right, top, bottom } = part.getBoundingClientRect();
      const end = part.closest('.deck')?.getBoundingClientRect().bottom ?? bottom;
      return { left, right, top, bottom: Math.min(bottom, end) };
    };
    const boxes = (selector: string) => [...document.querySelectorAll(selector)].map((part) => [part, seen(part)] as const);
    const rail = boxes('.faces > button');
    const parts = boxes('[data-testid=offer], [data-testid=pinned-message], [data-testid=news] p');
    const hit = (a: ReturnType<typeof seen>, b: ReturnType<typeof seen>) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
    if (rail.length < 2) return ['no buttons'];
    return parts.filter(([, box]) => rail.some(([, button]) => hit(box, button))).map(([part]) => part.textContent);
  });

for (const [name, look] of [
  ['phone-light', {}],
  ['phone-dark', { colorScheme: 'dark' }],
  ['phone-hindi', { locale: 'hi-IN' }],
  ['phone-flat', { viewport: { width: 640, height: 360 } }],
  ['tablet', { viewport: { width: 768, height: 1024 } }],
  ['desktop-light', { viewport: desktop }],
  ['desktop-dark', { viewport: desktop, colorScheme: 'dark' }],
] as [string, Look][]) {
  test(`everything at once, ${name}`, async ({ show }) => {
    const { page, tell } = await fullShow(show, look);
    fill(tell);
    await expect(offers(page)).toHaveCount(4);
    const message = {
      id: 'x',
      stream: show.stream,
      seq: 0,
      at: Date.now(),
      user: { id: 'meena', name: 'Meena', role: 'supplier' },
      text: 'Free delivery above ₹999 today. Ask me anything below!',
    };
    tell('chat:pinned', { message });
    await page.getByTestId('heart').click();
    await shot(page, `full-${name}`);
    expect(await covered(page)).toEqual([]);
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

const outcomes = [
  ['sold_out', 'Sold out', 'Somebody was faster this time.'],
  ['limit_reached', 'You have your share.', 'You have your share.'],
  ['closed', 'Over', 'This is closed.'],
  ['paused', 'Try again', 'This is paused right now.'],
] as const;

for (const [code, label, note] of outcomes) {
  test(`a claim that is answered with ${code} says so`, async ({ show }) => {
    const { page, tell, injected } = await fullShow(show);
    fill(tell);
    injected.answer('drop:claim', () => ({ ok: false, error: { code, message: '' } }));
    await page.getByTestId('claim').click();
    await expect(page.getByTestId('claim')).toHaveText(label);
    await expect(page.locator('[data-kind=drop]')).toContainText(note);
    await shot(page, `claim-${code}-phone`);
  });
}

test('a claim without an answer is repeated under one request id, until there is one', async ({ show }) => {
  const { page, tell, injected } = await fullShow(show);
  fill(tell);
  let asked = 0;
  const price = { amount: 199_900, currency: 'INR' };
  injected.answer('drop:claim', () => {
    if (++asked < 3) return { ok: false, error: { code: 'unavailable', message: '' } };
    return { ok: true, claim: { id: 'c', drop: 'd1', quantity: 1, price, at: Date.now() }, left: 3 };
  });
  await page.getByTestId('claim').click();
  await expect(page.getByTestId('claim')).toHaveText('Yours!');
  expect(new Set(injected.asked.map(({ body }) => body.requestId)).size).toBe(1);
  expect(injected.asked).toHaveLength(3);
});

for (const prize of [...wheel.prizes, null]) {
  test(`the wheel stops on ${prize?.id ?? 'nothing'} when the server drew that`, async ({ show }) => {
    const { page, tell, injected } = await fullShow(show);
    fill(tell);
    injected.answer('wheel:spin', () => ({ ok: true, spin: { id: 's1', prize }, spinsLeft: 0 }));
    await page.locator('button[data-kind=wheel]').click();
    await page.getByRole('button', { name: 'Spin the wheel' }).click();
    await expect(page.getByTestId('spin-result')).toHaveText(prize ? `You won: ${prize.label}!` : 'No luck this time');
    // What is drawn under the pointer is what was told.
    const pointed = await page.getByTestId('disc').evaluate((disc) => {
      disc.scrollIntoView({ block: 'center', behavior: 'instant' });
      const { left, top, width, height } = disc.getBoundingClientRect();
      const [x, y] = [left + width / 2, top + height / 2 - disc.clientWidth * 0.4];
      const slices = [...disc.querySelectorAll('path')];
      const hit = document.elementsFromPoint(x, y).find((element) => slices.includes(element as SVGPathElement));
      return slices.indexOf(hit as SVGPathElement);
    });
    expect(pointed).toBe(prize ? wheel.prizes.findIndex(({ id }) => id === prize.id) : wheel.prizes.length);
    await expect(page.getByRole('button', { name: 'Spin the wheel' })).toBeDisabled();
    await shot(page, `wheel-${prize?.id ?? 'nothing'}-phone`);
  });
}

test('a drop that is paused, and one that opens soon', async ({ show }) => {
  const { page, tell } = await fullShow(show);
  fill(tell);
  tell('drop:opened', { drop: drop(Date.now(), { id: 'd1', status: 'paused' }) });
  await expect(page.getByTestId('claim')).toHaveText('Paused');
  await expect(page.locator('[data-kind=drop]')).toContainText('The stock is being checked.');
  tell('drop:opened', { drop: drop(Date.now(), { id: 'd2', opensAt: Date.now() + 60_000, endsAt: Date.now() + 120_000 }) });
  await expect(page.locator('[data-kind=drop]').first()).toContainText('Opens in');
});
