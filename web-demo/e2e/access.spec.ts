/** Both pages for everybody: no finding of axe in any state, by day and by night; and all of it by keyboard. */
import { expect } from '@playwright/test';
import { findings } from './axe';
import { fill, fullShow } from './full';
import { addProduct, tab } from './selling';
import { desktop, phase, say, test, texts } from './show';

for (const [name, look] of [
  ['a phone by day', {}],
  ['a phone by night', { colorScheme: 'dark' as const }],
  ['a wide screen by day', { viewport: desktop }],
  ['a wide screen by night', { viewport: desktop, colorScheme: 'dark' as const }],
] as const) {
  test(`the viewer's page has nothing for axe to find on ${name}`, async ({ show }) => {
    const { page, tell } = await fullShow(show, look);
    fill(tell);
    tell('notice', { text: 'The next drop opens in five minutes.' });
    await expect(page.getByTestId('offer')).toHaveCount(4);
    expect(await findings(page)).toEqual([]);
    for (const open of ['open-shop', 'open-questions']) {
      await page.getByTestId(open).click();
      await expect(page.getByRole('dialog')).toBeVisible();
      expect(await findings(page)).toEqual([]);
      await page.keyboard.press('Escape');
    }
    for (const kind of ['wheel', 'poll']) {
      await page.locator(`[data-kind=${kind}] button, button[data-kind=${kind}]`).click();
      await expect(page.getByRole('dialog')).toBeVisible();
      expect(await findings(page)).toEqual([]);
      await page.keyboard.press('Escape');
    }
    await page.getByTestId('text').first().click();
    await expect(page.getByRole('toolbar')).toBeVisible();
    expect(await findings(page)).toEqual([]);
  });
}

for (const colorScheme of ['light', 'dark'] as const) {
  test(`the console has nothing for axe to find, ${colorScheme}`, async ({ show }) => {
    const host = await show.onAir(undefined, { colorScheme });
    await addProduct(host, 'Peacock saree', '2499', '3');
    await say(host, 'Welcome');
    await host.getByTestId('text').first().click();
    for (const name of ['Products', 'Drops', 'Wheel', 'Poll', 'Questions', 'Announce', 'Held', 'Log']) {
      await tab(host, name);
      expect(await findings(host), name).toEqual([]);
    }
    await host.getByRole('button', { name: 'End stream' }).click();
    expect(await findings(host)).toEqual([]);
    await host.getByRole('button', { name: 'End now' }).click();
    await expect(host.getByTestId('moments')).toBeVisible();
    expect(await findings(host), 'the summary').toEqual([]);
  });
}

test('a message is chosen, answered and left by keyboard', async ({ show }) => {
  const { page, tell } = await fullShow(show, { viewport: desktop });
  fill(tell);
  await page.getByRole('log').focus();
  await page.keyboard.press('ArrowUp');
  await expect(page.getByRole('toolbar')).toBeVisible();
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await expect(page.getByTestId('replying')).toBeVisible();
  await page.keyboard.type('answered by keyboard');
  await page.keyboard.press('Enter');
  await expect.poll(() => texts(page)).toHaveLength(2);
  await expect(page.getByTestId('message').last()).toContainText('Is the blue one pure cotton?');
});

test('a page on top takes the focus and gives it back', async ({ show }) => {
  const { page, tell } = await fullShow(show);
  fill(tell);
  await page.getByTestId('open-shop').focus();
  await page.keyboard.press('Enter');
  await expect(page.getByRole('dialog')).toBeVisible();
  expect(await page.evaluate(() => document.activeElement?.closest('dialog') !== null)).toBe(true);
  await page.keyboard.press('Escape');
  await expect(page.getByRole('dialog')).toHaveCount(0);
  await expect(page.getByTestId('open-shop')).toBeFocused();
});

test('who wants less motion gets none: no floats, no turning', async ({ show }) => {
  const { page, tell, injected } = await fullShow(show, { reducedMotion: 'reduce' });
  fill(tell);
  injected.answer('wheel:spin', () => ({
    ok: true,
    spin: { id: 's1', prize: { id: 'ten', label: '10% off', weight: 6 } },
    spinsLeft: 0,
  }));
  await page.locator('button[data-kind=wheel]').click();
  await page.getByRole('button', { name: 'Spin the wheel' }).click();
  await expect(page.getByTestId('spin-result')).toHaveText('You won: 10% off!');
  const drawn = await page.locator('.floats canvas').evaluate((canvas: HTMLCanvasElement) => {
    const ctx = canvas.getContext('2d');
    return ctx?.getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value !== 0);
  });
  expect(drawn).toBe(false);
  await expect(phase(page)).toHaveAttribute('data-phase', 'live');
});
