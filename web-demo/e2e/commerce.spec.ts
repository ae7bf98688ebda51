/** Selling, for real: what the supplier prepares and opens reaches the viewers, and each of them gets what the server grants. */
import { expect, type Page } from '@playwright/test';
import { Cable } from './cable';
import { addProduct, prepareDrop, tab } from './selling';
import { phase, type Show, shot, test } from './show';

const asha = { sub: 'asha', name: 'Asha Rao' };
const ravi = { sub: 'ravi', name: 'Ravi Kumar' };
const claim = (page: Page) => page.getByTestId('claim');
const offer = (page: Page, kind: string) => page.locator(`[data-testid=offer][data-kind=${kind}]`);

async function watching(show: Show, ...people: (typeof asha | null)[]): Promise<Page[]> {
  const pages: Page[] = [];
  for (const person of people) pages.push(await show.viewer(person));
  for (const page of pages) await expect(phase(page)).toHaveAttribute('data-phase', 'live');
  return pages;
}

test('a product is put on the shelf, shown, changed, hidden and removed', async ({ show }) => {
  const host = await show.onAir();
  const [viewer] = (await watching(show, asha)) as [Page];
  await addProduct(host, 'Peacock saree', '2499.50', '12');
  await host.getByRole('button', { name: 'Show', exact: true }).click();
  await expect(offer(viewer, 'product')).toContainText('Peacock saree');
  await expect(offer(viewer, 'product')).toContainText('₹2,499.50');
  await expect(offer(viewer, 'product')).toContainText('12 in stock');
  await host.getByRole('button', { name: 'Edit' }).click();
  await host.getByLabel('Price (₹)').fill('1999');
  await host.getByRole('button', { name: 'Save', exact: true }).click();
  await expect(offer(viewer, 'product')).toContainText('₹1,999');
  await viewer.getByTestId('open-shop').click();
  await expect(viewer.getByTestId('product')).toHaveCount(1);
  await viewer.keyboard.press('Escape');
  await host.getByRole('button', { name: 'Hide' }).click();
  await expect(offer(viewer, 'product')).toHaveCount(0);
  await host.getByRole('button', { name: 'Remove' }).click();
  await host.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await expect(host.getByTestId('shelf')).toContainText('Add what you sell');
});

test('a drop prepared before the show opens with one tap, and goes to whoever is first', async ({ show }) => {
  const host = await show.console();
  await host.getByLabel('Title', { exact: true }).fill('Sarees');
  await host.getByRole('button', { name: 'Go live' }).click();
  await addProduct(host, 'Peacock saree', '2499');
  await prepareDrop(host, { price: '1999', stock: 1 });
  const [one, two, guest] = (await watching(show, asha, ravi, null)) as [Page, Page, Page];
  await host.getByRole('button', { name: 'Open now' }).click();
  for (const page of [one, two, guest]) await expect(offer(page, 'drop')).toContainText('₹1,999');
  await expect(claim(guest)).toBeDisabled();
  await expect(offer(guest, 'drop')).toContainText('Sign in to claim.');
  await claim(one).click();
  await expect(claim(one)).toHaveText('Yours!');
  await expect(offer(one, 'drop')).toContainText('Peacock saree is yours.');
  await expect(claim(two)).toHaveText('Sold out');
  await shot(one, 'drop-yours-phone');
  await shot(two, 'drop-gone-phone');
  await expect(host.getByTestId('drops')).toContainText('0 of 1 left');
  await expect(host.getByTestId('claims')).toHaveText('1');
  await expect(host.getByTestId('revenue')).toHaveText('₹1,999');
  await one.reload();
  await expect(claim(one)).toHaveText('Yours!');
  await shot(host, 'console-drop-desktop');
});

test('everybody gets as many as the drop allows, and not one more', async ({ show }) => {
  const host = await show.onAir();
  await addProduct(host, 'Dupatta', '799');
  await prepareDrop(host, { price: '499', stock: 10, perUser: 2 });
  await host.getByRole('button', { name: 'Open now' }).click();
  const [viewer] = (await watching(show, asha)) as [Page];
  await claim(viewer).click();
  await expect(claim(viewer)).toHaveText('Claim another');
  await claim(viewer).click();
  await expect(claim(viewer)).toHaveText('Yours!');
  await expect(offer(viewer, 'drop')).toContainText('2 × Dupatta are yours.');
  await expect(viewer.getByTestId('left')).toHaveAttribute('data-left', '8');
  // Past what the page allows, the server says the same.
  const reply = await viewer.evaluate(() => {
    const live = window.haat?.live;
    return live?.command('drop:claim', { drop: live.state.stream?.drops[0]?.id ?? '', requestId: 'one-too-many' });
  });
  expect(reply).toMatchObject({ ok: false, error: { code: 'limit_reached' } });
});

test('a claim whose answer is lost is made once, and found out after the reconnection', async ({ show }) => {
  const cable = await Cable.to(show.gateway.port);
  const host = await show.onAir();
  await addProduct(host, 'Dupatta', '799');
  await prepareDrop(host, { price: '499', stock: 5 });
  await host.getByRole('button', { name: 'Open now' }).click();
  const viewer = await show.viewer(asha, { origin: cable.origin });
  await expect(claim(viewer)).toBeEnabled();
  cable.muteDown();
  await claim(viewer).click();
  await expect(host.getByTestId('drops')).toContainText('4 of 5 left');
  await expect(claim(viewer)).toHaveText('Claiming…');
  cable.pull();
  await expect(phase(viewer)).toHaveAttribute('data-phase', 'reconnecting');
  await expect(offer(viewer, 'drop')).toContainText('No answer yet');
  await shot(viewer, 'drop-unknown-phone');
  cable.plug();
  await expect(claim(viewer)).toHaveText('Yours!');
  await expect(viewer.getByTestId('left')).toHaveAttribute('data-left', '4');
  await expect(host.getByTestId('claims')).toHaveText('1');
  cable.stop();
});

test('a drop that opens later counts down, and then can be claimed', async ({ show }) => {
  const host = await show.onAir();
  await addProduct(host, 'Dupatta', '799');
  await prepareDrop(host, { price: '499', stock: 5, opensAfter: 8 });
  const [viewer] = (await watching(show, asha)) as [Page];
  await host.getByRole('button', { name: 'Open now' }).click();
  await expect(offer(viewer, 'drop')).toContainText('Opens in 0:0');
  await expect(claim(viewer)).toBeDisabled();
  await shot(viewer, 'drop-soon-phone');
  await expect(claim(viewer)).toBeEnabled();
  await claim(viewer).click();
  await expect(claim(viewer)).toHaveText('Yours!');
});

test('closing a drop asks once, and viewers see that it is over', async ({ show }) => {
  const host = await show.onAir();
  await addProduct(host, 'Dupatta', '799');
  await prepareDrop(host, { price: '499', stock: 5 });
  await host.getByRole('button', { name: 'Open now' }).click();
  const [viewer] = (await watching(show, asha)) as [Page];
  await expect(claim(viewer)).toBeEnabled();
  await host.getByTestId('drops').getByRole('button', { name: 'Close' }).click();
  await host.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
  await expect(claim(viewer)).toBeEnabled();
  await host.getByTestId('drops').getByRole('button', { name: 'Close' }).click();
  await host.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
  await expect(claim(viewer)).toHaveText('Over');
  await tab(host, 'Log');
  await expect(host.getByTestId('log')).toContainText('Drop closed');
});

test('the stock is right again after a recovery, though nothing replays it', async ({ show }) => {
  const cable = await Cable.to(show.gateway.port);
  const host = await show.onAir();
  await addProduct(host, 'Dupatta', '799');
  await prepareDrop(host, { price: '499', stock: 2, perUser: 1 });
  await host.getByRole('button', { name: 'Open now' }).click();
  const away = await show.viewer(asha, { origin: cable.origin });
  const [there] = (await watching(show, ravi)) as [Page];
  await expect(away.getByTestId('left')).toHaveAttribute('data-left', '2');
  cable.pull();
  await expect(phase(away)).toHaveAttribute('data-phase', 'reconnecting');
  await claim(there).click();
  await expect(claim(there)).toHaveText('Yours!');
  cable.plug();
  await expect(away.getByTestId('left')).toHaveAttribute('data-left', '1');
  expect(await away.evaluate(() => window.haat?.live.recovered)).toBe(true);
  cable.stop();
});

test('the summary says what a show came to', async ({ show }) => {
  const host = await show.onAir();
  await addProduct(host, 'Dupatta', '799');
  await prepareDrop(host, { price: '499', stock: 2 });
  await host.getByRole('button', { name: 'Open now' }).click();
  const [one, two] = (await watching(show, asha, ravi)) as [Page, Page];
  for (const page of [one, two]) {
    await claim(page).click();
    await expect(claim(page)).toHaveText('Yours!');
  }
  await host.getByRole('button', { name: 'End stream' }).click();
  await host.getByRole('button', { name: 'End now' }).click();
  const summary = host.getByTestId('summary');
  await expect(summary).toContainText('₹998');
  await expect(summary.locator('div', { hasText: 'Claims' }).locator('dd')).toHaveText('2');
  await expect(summary.locator('div', { hasText: 'Most at once' }).locator('dd')).toHaveText('2');
  await shot(host, 'console-summary-desktop');
});
