/** Every state of the console in every size and both languages, with the longest that people may write. */
import { expect, type Page } from '@playwright/test';
import type { Injected } from './injected';
import { products, questions } from './offers';
import { addProduct, prepareDrop, prepareWheel, tab } from './selling';
import { lookAt } from './sight';
import { phase, say, Show, test, texts } from './show';

const name = 'श्रीमती लक्ष्मीनारायण विश्वनाथन राघवेंद्रन'.slice(0, 40);
const saree = 'Chanderi silk-cotton saree in peacock blue, hand woven, with a border of gold zari'.slice(0, 80);

for (const [language, locale] of [
  ['en', 'en-IN'],
  ['hi', 'hi-IN'],
] as const) {
  const look = (page: Page, state: string) => lookAt(page, `desk-${language}-${state}`);
  /** Each panel of the work and of the talk. */
  const everyTab = async (page: Page, state: string) => {
    for (const list of [0, 1]) {
      const tabs = page.getByRole('tablist').nth(list).getByRole('tab');
      for (let i = 0; i < (await tabs.count()); i++) {
        await tabs.nth(i).click();
        await expect(tabs.nth(i)).toHaveAttribute('aria-selected', 'true');
        await look(page, `${state}-${list}${i}`);
      }
    }
  };

  test(`the console before the show, ${language}`, async ({ show }) => {
    const host = await show.console({ locale });
    await expect(phase(host)).toHaveAttribute('data-phase', 'live');
    await everyTab(host, 'before');
  });

  test(`the console in full show, and what it came to, ${language}`, async ({ gateway, browser }) => {
    const show = new Show(gateway, browser, `${language}-${'stream'.repeat(12)}`.slice(0, 64));
    try {
      const first = await show.onAir(saree);
      await addProduct(first, saree, '2345678.50', '100000');
      await prepareDrop(first, { price: '1234567.50', stock: 100_000, perUser: 2 });
      await first.getByRole('button', { name: 'Open now' }).click();
      await prepareWheel(first, 'Diwali wheel', [{ label: 'Silk scarf', stock: 1 }]);
      await first.getByRole('button', { name: 'Open now' }).click();
      await tab(first, 'Announce');
      await first.getByLabel('Announcement to everybody').fill(saree);
      await first.getByRole('button', { name: 'Announce', exact: true }).click();
      await first.getByLabel('Words that are not welcome').fill('cheap, fake');
      await first.getByRole('button', { name: 'Use this list' }).click();
      await expect(first.getByRole('tabpanel', { name: 'Announce' }).getByRole('button', { name: 'Saved' })).toBeVisible();
      const viewer = await show.viewer({ sub: 'long', name });
      await viewer.getByTestId('claim').click();
      await expect(viewer.getByTestId('claim')).toHaveText('Claim another');
      await say(viewer, `${saree}?`);

      let to: Injected | undefined;
      const host = await show.console({ locale, inject: (injected) => (to = injected) });
      await expect(phase(host)).toHaveAttribute('data-phase', 'live');
      await expect.poll(() => texts(host)).toHaveLength(1);
      await say(viewer, `Is this a fake? ${saree}`);
      await expect(host.getByRole('tablist').nth(1).getByRole('tab').nth(1)).toContainText('1');
      const tell = (event: string, body: object) => to?.say(event, { stream: show.stream, ...body });
      for (const question of questions) tell('question:asked', { question: { ...question, user: { id: 'long', name } } });
      const shelf = await first.evaluate(() => window.haat?.live.state.stream?.products ?? []);
      tell('products', { products: [...shelf, ...products] });
      tell('viewers', { count: 100_000 });
      await expect(host.getByTestId('watching')).toHaveText('1,00,000');
      await everyTab(host, 'full');
      await host.getByRole('tablist').nth(1).getByRole('tab').first().click();
      await host.getByTestId('text').first().click();
      await expect(host.getByRole('toolbar')).toBeVisible();
      await look(host, 'chosen');
      await host.locator('button.danger').first().click();
      await expect(host.getByRole('dialog')).toBeVisible();
      await look(host, 'end');
      await host.getByRole('dialog').getByRole('button').last().click();
      await host.keyboard.press('Escape');

      await first.getByRole('button', { name: 'End stream' }).click();
      await first.getByRole('button', { name: 'End now' }).click();
      await expect(host.getByTestId('sellers')).toBeVisible();
      await look(host, 'summary');
      expect(show.errors).toEqual([]);
    } finally {
      await show.close();
    }
  });
}
