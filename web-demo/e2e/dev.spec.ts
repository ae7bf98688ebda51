/** What `make run` shows a newcomer: four links, and each of them works. */
import { expect, test } from '@playwright/test';
import { Gateway } from './gateway';
import { phase, say, texts } from './show';

test('the links of a development run open the console, two viewers and a guest', async ({ browser }) => {
  const gateway = await Gateway.development();
  try {
    const links = await expect
      .poll(() => gateway.links())
      .toHaveLength(4)
      .then(() => gateway.links());
    const [host, asha, ravi, guest] = await Promise.all(
      links.map(async (link) => {
        const page = await (await browser.newContext()).newPage();
        await page.goto(link);
        return page;
      }),
    );
    if (!host || !asha || !ravi || !guest) throw new Error('a link is missing');
    await host.getByLabel('Title', { exact: true }).fill('First show');
    await host.getByRole('button', { name: 'Go live' }).click();
    for (const page of [asha, ravi, guest]) await expect(phase(page)).toHaveAttribute('data-phase', 'live');
    await say(asha, 'namaste');
    await say(host, 'welcome');
    for (const page of [host, asha, ravi, guest])
      await expect.poll(() => texts(page).then((all) => all.sort())).toEqual(['namaste', 'welcome']);
    await expect(guest.getByTestId('guest-hint')).toBeVisible();
    for (const page of [host, asha, ravi, guest]) await page.context().close();
  } finally {
    await gateway.stop();
  }
});
