/** The whole show in Hindi, on both pages and both sizes: nothing is left in English that the pages say, and nothing runs over. */
import { expect, type Page } from '@playwright/test';
import { fill, fullShow } from './full';
import { addProduct, prepareDrop, tab } from './selling';
import { desktop, phase, phone, shot, test } from './show';

const inHindi = async (page: Page) => {
  await page.getByRole('button', { name: 'Switch to Hindi' }).click();
  await expect(page.locator('html')).toHaveAttribute('lang', 'hi');
};

/** What stands on the page in Latin letters, but for what people wrote and what is the same everywhere. */
async function latin(page: Page, allowed: RegExp): Promise<string[]> {
  const text = await page.locator('body').innerText();
  return (text.match(/[A-Za-z][A-Za-z'’]+/g) ?? []).filter((word) => !allowed.test(word));
}

test('the viewer reads Hindi, also after a reload', async ({ show }) => {
  const { page, tell } = await fullShow(show);
  await inHindi(page);
  await page.reload();
  await expect(page.locator('html')).toHaveAttribute('lang', 'hi');
  await expect(phase(page)).toHaveAttribute('data-phase', 'live');
  fill(tell);
  await expect(page.getByTestId('claim')).toHaveText('पाएँ');
  const ofPeople =
    /^(EN|MT|Meena|Textiles|Asha|Rao|Handloom|sarees?|from|Chanderi|Is|the|blue|one|pure|cotton|peacock|with|zari|border|Diwali|wheel|Which|colour|should|we|unpack|next|Cotton|dupatta|red)$/;
  expect(await latin(page, ofPeople)).toEqual([]);
  expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
});

for (const [name, viewport] of [
  ['phone', phone],
  ['desktop', desktop],
] as const) {
  test(`the supplier reads Hindi, ${name}`, async ({ show }) => {
    const host = await show.console({ viewport });
    await host.getByLabel('Title', { exact: true }).fill('साड़ियाँ');
    await host.getByRole('button', { name: 'Go live' }).click();
    await addProduct(host, 'नीली साड़ी', '2499', '12');
    await prepareDrop(host, { price: '1999', stock: 5 });
    await host.getByRole('button', { name: 'Open now' }).click();
    await inHindi(host);
    for (const [i, part] of ['उत्पाद', 'ड्रॉप', 'चक्र', 'मतदान', 'सवाल', 'घोषणा', 'रोके गए', 'लॉग'].entries()) {
      await tab(host, part);
      await shot(host, `console-hindi-${i}-${name}`);
      expect(await host.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
      expect(await latin(host, /^(EN|MT|Meena|Textiles|http|https|show|stream|AM|PM|am|pm)$/), part).toEqual([]);
    }
  });
}
