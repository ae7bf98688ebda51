/** What a supplier finds again: after a reload, at another machine, and when the show is over. */
import { readFile } from 'node:fs/promises';
import { expect, type Page } from '@playwright/test';
import { addProduct, onMessage, prepareDrop, prepareWheel, tab } from './selling';
import { desktop, phase, phone, say, Show, shot, test, texts } from './show';

const asha = { sub: 'asha', name: 'Asha Rao' };
const log = (page: Page) => page.getByTestId('log').locator('li').allInnerTexts();

test('drop, wheel and poll are prepared before the show, and each opens with one tap after a reload', async ({ show }) => {
  const before = await show.console();
  await before.getByLabel('Title', { exact: true }).fill('Sarees');
  await before.getByRole('button', { name: 'Go live' }).click();
  await addProduct(before, 'Peacock saree', '2499');
  await prepareDrop(before, { price: '1999', stock: 5 });
  await prepareWheel(before, 'Diwali wheel', [{ label: 'Silk scarf', stock: 1 }]);
  await tab(before, 'Poll');
  await before.getByLabel('Question', { exact: true }).fill('Which colour next?');
  await before.getByLabel('Answer 1').fill('Blue');
  await before.getByLabel('Answer 2').fill('Maroon');
  await before.getByRole('button', { name: 'Prepare' }).click();
  await expect(before.getByTestId('polls').locator('[data-state=prepared]')).toHaveCount(1);
  await before.reload();
  const viewer = await show.viewer(asha);
  for (const [name, list, kind] of [
    ['Drops', 'drops', 'drop'],
    ['Wheel', 'wheels', 'wheel'],
    ['Poll', 'polls', 'poll'],
  ] as const) {
    await tab(before, name);
    await before.getByRole('button', { name: 'Open now' }).click();
    await expect(before.getByTestId(list).locator('[data-state=prepared]')).toHaveCount(0);
    await expect(viewer.locator(`[data-testid=offer][data-kind=${kind}]`)).toBeVisible();
  }
  await before.reload();
  await tab(before, 'Drops');
  // Opened is opened: it is the server's now, and not prepared once more.
  await expect(before.getByTestId('drops').locator('[data-state=open]')).toHaveCount(1);
  await expect(before.getByTestId('drops').locator('[data-state=prepared]')).toHaveCount(0);
});

test('the log is the same after a reload and for everybody of the staff, the sales in it', async ({ show }) => {
  const host = await show.onAir();
  await addProduct(host, 'Peacock saree', '2499');
  await prepareDrop(host, { price: '1999', stock: 2 });
  await host.getByRole('button', { name: 'Open now' }).click();
  const viewer = await show.viewer(asha);
  await viewer.getByTestId('claim').click();
  await expect(viewer.getByTestId('claim')).toHaveText('Yours!');
  await say(viewer, 'buy at my shop instead');
  await expect.poll(() => texts(host)).toEqual(['buy at my shop instead']);

  const moderator = await show.moderator();
  await expect(phase(moderator)).toHaveAttribute('data-phase', 'live');
  await onMessage(moderator, 'buy at my shop', 'Delete');
  await say(viewer, 'and again');
  await onMessage(moderator, 'and again', 'Mute 10 min');
  await expect(viewer.getByTestId('muted')).toBeVisible();

  await tab(host, 'Log');
  // What another one of the staff did is there, with what it was about.
  for (const text of ['Asha Rao: buy at my shop instead · by Kavya', 'Peacock saree · ₹1,999 · by Asha Rao', 'Asha Rao · by Kavya'])
    await expect(host.getByTestId('log')).toContainText(text);
  await shot(host, 'console-log-desktop');
  const before = await log(host);
  await host.getByRole('button', { name: 'Sales', exact: true }).click();
  await expect(host.getByTestId('log').locator('li')).toHaveCount(1);
  await host.reload();
  await tab(host, 'Log');
  await expect.poll(() => log(host)).toEqual(before);
  await tab(moderator, 'Log');
  await expect.poll(() => log(moderator)).toEqual(before);
  await host.getByRole('button', { name: 'Undo' }).click();
  await expect(host.getByTestId('log')).toContainText('Mute lifted');
  await expect(host.getByRole('button', { name: 'Undo' })).toHaveCount(0);
  await say(viewer, 'sorry');
  await expect.poll(() => texts(viewer)).toContain('sorry');
});

test('a moderator finds what a moderator may do, and nothing else', async ({ show }) => {
  await show.onAir();
  const viewer = await show.viewer(asha);
  await expect(phase(viewer)).toHaveAttribute('data-phase', 'live');
  const moderator = await show.moderator();
  await expect(moderator.getByTestId('watching')).toHaveText('1');
  const tabs = moderator.getByRole('tablist', { name: 'Run the show' }).getByRole('tab');
  await expect(tabs).toHaveText(['Questions', 'Announce']);
  await expect(moderator.getByRole('button', { name: 'End stream' })).toHaveCount(0);
  await tab(moderator, 'Announce');
  await moderator.getByLabel('Announcement to everybody').fill('Please be kind to each other');
  await moderator.getByRole('button', { name: 'Announce', exact: true }).click();
  await expect(viewer.getByText('Please be kind to each other')).toBeVisible();
  await shot(moderator, 'console-moderator-desktop');
});

test('the summary has everything, and is the same at another machine', async ({ show }) => {
  const host = await show.onAir();
  await addProduct(host, 'Peacock saree', '2499');
  await prepareDrop(host, { price: '1999', stock: 5, perUser: 2 });
  await host.getByRole('button', { name: 'Open now' }).click();
  const viewer = await show.viewer(asha);
  for (const label of ['Claim another', 'Yours!']) {
    await viewer.getByTestId('claim').click();
    await expect(viewer.getByTestId('claim')).toHaveText(label);
  }
  for (const text of ['one', 'two', 'three']) await say(viewer, text);
  for (let i = 0; i < 4; i++) await viewer.getByTestId('heart').click();
  await expect(host.getByTestId('reactions')).toHaveText('4');
  await expect.poll(() => texts(host)).toHaveLength(3);
  await host.getByRole('button', { name: 'End stream' }).click();
  await host.getByRole('button', { name: 'End now' }).click();

  const figure = (page: Page, name: string) => page.getByTestId('summary').locator('div', { hasText: name }).locator('dd');
  const check = async (page: Page) => {
    for (const [name, value] of [
      ['People', '1'],
      ['Most at once', '1'],
      ['Messages', '3'],
      ['Reactions', '4'],
      ['Claims', '2'],
      ['Revenue', '₹3,998'],
    ] as const)
      await expect(figure(page, name)).toHaveText(value);
    await expect(page.getByTestId('moments').locator('[data-kind=revenue]')).toContainText('₹3,998 from 2 claims in a minute');
    await expect(page.getByTestId('moments').locator('[data-kind=revenue]')).toContainText('after “Peacock saree” had opened');
    await expect(page.getByTestId('moments').locator('[data-kind=messages]')).toContainText('3 messages in a minute');
    await expect(page.getByTestId('sellers')).toContainText('Peacock saree');
    await expect(page.getByTestId('sellers')).toContainText('₹3,998');
  };
  await check(host);
  await shot(host, 'console-summary-whole-desktop');
  await host.reload();
  await check(host);
  const other = await show.console({ viewport: { ...desktop, height: 1100 } });
  await check(other);
  await shot(other, 'console-summary-other-desktop');

  const loading = other.waitForEvent('download');
  await other.getByRole('button', { name: 'Save the sales as a file' }).click();
  const file = await (await loading).path();
  const lines = (await readFile(file, 'utf8')).trim().split('\r\n');
  expect(lines).toHaveLength(3);
  for (const line of lines.slice(1)) expect(line).toMatch(/,claim,.*,asha,Asha Rao,.*,Peacock saree,1,1999\.00,1999\.00,INR$/);
});

test('the longest stream id fits on a phone, live and ended', async ({ gateway, browser }) => {
  const show = new Show(gateway, browser, 'diwali-sale_'.repeat(6).slice(0, 64));
  const host = await show.onAir('Sarees', { viewport: phone });
  const viewer = await show.viewer(asha);
  await expect(phase(viewer)).toHaveAttribute('data-phase', 'live');
  const overrun = (page: Page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  expect([await overrun(host), await overrun(viewer)]).toEqual([0, 0]);
  await host.getByRole('button', { name: 'End stream' }).click();
  await host.getByRole('button', { name: 'End now' }).click();
  await expect(phase(viewer)).toHaveAttribute('data-phase', 'ended');
  expect([await overrun(host), await overrun(viewer)]).toEqual([0, 0]);
  await show.close();
  expect(show.errors).toEqual([]);
});
