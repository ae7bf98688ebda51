/** What a supplier does at the console, for the tests. */
import { expect, type Page } from '@playwright/test';

/** Below this a bar leads to the parts of the console. */
const wide = 900;

/** Goes to a panel of the console. */
export async function tab(page: Page, name: string): Promise<void> {
  if ((page.viewportSize()?.width ?? wide) < wide) {
    const panel = page.getByRole('navigation').getByRole('button', { name });
    if (await panel.count()) return panel.click();
    await page.locator('[data-place=work]').click();
  }
  await page.getByRole('tab', { name }).click();
}

export async function addProduct(host: Page, title: string, price: string, stock = ''): Promise<void> {
  await tab(host, 'Products');
  await host.getByLabel('Name of the product').fill(title);
  await host.getByLabel('Price (₹)').fill(price);
  await host.getByLabel('Stock').fill(stock);
  await host.getByRole('button', { name: 'Add', exact: true }).click();
  await expect(host.getByTestId('shelf')).toContainText(title);
}

export async function prepareDrop(
  host: Page,
  drop: { price: string; stock: number; perUser?: number; opensAfter?: number },
): Promise<void> {
  await tab(host, 'Drops');
  await host.getByLabel('Price in the drop (₹)').fill(drop.price);
  await host.getByLabel('Pieces').fill(String(drop.stock));
  await host.getByLabel('Most for one person').fill(String(drop.perUser ?? 1));
  await host.getByLabel('Opens after (seconds)').fill(String(drop.opensAfter ?? ''));
  await host.getByRole('button', { name: 'Prepare' }).click();
  await expect(host.getByTestId('drops').locator('[data-state=prepared]')).toHaveCount(1);
}

/** Selects a message in the console's chat, and does that with it. */
export async function onMessage(host: Page, text: string, act: string): Promise<void> {
  await host.getByTestId('message').filter({ hasText: text }).getByTestId('text').click();
  await host.getByRole('toolbar').getByRole('button', { name: act }).click();
}

export async function prepareWheel(host: Page, title: string, prizes: { label: string; stock?: number }[]): Promise<void> {
  await tab(host, 'Wheel');
  await host.getByLabel('Name of the wheel').fill(title);
  for (const [i, { label, stock }] of prizes.entries()) {
    if (!(await host.getByLabel(`Prize ${i + 1}`).count())) await host.getByRole('button', { name: 'Add a prize' }).click();
    await host.getByLabel(`Prize ${i + 1}`).fill(label);
    await host
      .getByLabel('How many')
      .nth(i)
      .fill(String(stock ?? ''));
  }
  await host.getByRole('button', { name: 'Prepare' }).click();
  await expect(host.getByTestId('wheels').locator('[data-state=prepared]')).toHaveCount(1);
}
