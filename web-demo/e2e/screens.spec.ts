/** Pictures of a busy show, for looking at; and what must hold of the layout at both sizes. */
import { expect, type Page } from '@playwright/test';
import { desktop, phase, phone, say, type Show, shot, test, texts } from './show';

const people = [
  { sub: 'asha', name: 'Asha Rao' },
  { sub: 'ravi', name: 'Ravi Kumar' },
  { sub: 'fatima', name: 'Fatima S' },
];
const talk: [number | 'host', string][] = [
  ['host', 'Welcome everybody! Today: handloom sarees from Chanderi, woven last month.'],
  [0, 'Hello Meena ji 🙏'],
  [1, 'Is the blue one pure cotton?'],
  ['host', 'Half cotton, half silk. Very light, good for summer.'],
  [2, 'How long is the delivery to Kochi?'],
  [0, 'The border is beautiful ❤️ can you show the pallu once more please, and the back side of it too?'],
  ['host', 'Three to four days, Fatima.'],
  [2, 'Thank you!'],
];

async function busyShow(show: Show, colorScheme: 'light' | 'dark') {
  const host = await show.onAir(undefined, { colorScheme });
  const looks = [{ viewport: phone }, { viewport: desktop }, { viewport: phone }];
  const viewers: Page[] = [];
  for (const [i, person] of people.entries()) viewers.push(await show.viewer(person, { ...looks[i], colorScheme }));
  for (const page of viewers) await expect(phase(page)).toHaveAttribute('data-phase', 'live');
  for (const [i, [who, text]] of talk.entries()) {
    await say(who === 'host' ? host : (viewers[who] as Page), text);
    await expect.poll(() => texts(host)).toHaveLength(i + 1);
  }
  for (const page of viewers) await expect.poll(() => texts(page)).toHaveLength(talk.length);
  return { host, viewers };
}

for (const colorScheme of ['light', 'dark'] as const) {
  test(`a busy show, ${colorScheme}`, async ({ show }) => {
    const { host, viewers } = await busyShow(show, colorScheme);
    await shot(viewers[0] as Page, `viewer-phone-${colorScheme}`);
    await shot(viewers[1] as Page, `viewer-desktop-${colorScheme}`);
    await shot(host, `console-desktop-${colorScheme}`);
    const hostPhone = await show.console({ viewport: phone, colorScheme });
    await expect(hostPhone.getByTestId('stream-status')).toHaveText('LIVE');
    await shot(hostPhone, `console-phone-${colorScheme}`);
    for (const page of [host, hostPhone, ...viewers]) {
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(overflow).toBeLessThanOrEqual(0);
      // Fingers need room: every button is at least 44 px high.
      const heights = await page.locator('button:visible').evaluateAll((all) => all.map((b) => b.getBoundingClientRect().height));
      expect(Math.min(...heights)).toBeGreaterThanOrEqual(44);
    }
  });
}

test('before the start, on both pages', async ({ show }) => {
  const host = await show.console({ viewport: phone });
  await expect(host.getByRole('button', { name: 'Go live' })).toBeVisible();
  await shot(host, 'console-before-phone');
  const wide = await show.console();
  await expect(wide.getByRole('button', { name: 'Go live' })).toBeVisible();
  await shot(wide, 'console-before-desktop');
});

test('a reader who scrolled up stays there, and is told of new messages', async ({ show }) => {
  const { host, viewers } = await busyShow(show, 'light');
  const reader = viewers[0] as Page;
  const list = reader.getByRole('log');
  await expect.poll(() => list.evaluate((box) => box.scrollHeight - box.scrollTop - box.clientHeight)).toBeLessThan(2);
  await list.hover();
  await reader.mouse.wheel(0, -400);
  await expect(reader.getByTestId('latest')).toBeVisible();
  const before = await list.evaluate((box) => box.scrollTop);
  await say(host, 'One more thing');
  await say(host, 'And another');
  await expect(reader.getByTestId('latest')).toHaveText(/2 new messages/);
  expect(await list.evaluate((box) => box.scrollTop)).toBe(before);
  await shot(reader, 'viewer-scrolled-phone');
  await reader.getByTestId('latest').click();
  await expect(reader.getByText('And another')).toBeInViewport();
  await expect(reader.getByTestId('latest')).toHaveCount(0);
});
