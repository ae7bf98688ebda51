/** A show that is run from a phone: the talk, what is held and what is open are one tap away, and nothing lies in the way. */
import { expect, type Locator, type Page } from '@playwright/test';
import { findings } from './axe';
import type { Injected } from './injected';
import { addProduct, prepareDrop, prepareWheel, tab } from './selling';
import { lookAt } from './sight';
import { phase, phone, say, type Show, test, texts } from './show';

const asha = { sub: 'asha', name: 'Asha Rao' };
const bar = (page: Page) => page.getByRole('navigation');
const place = (page: Page, name: string) => bar(page).getByRole('button', { name });

/** A drop and a wheel are open, and a message is held. */
async function inFullShow(show: Show) {
  const desk = await show.onAir();
  await addProduct(desk, 'Peacock saree', '2499', '12');
  await prepareDrop(desk, { price: '1999', stock: 5 });
  await desk.getByRole('button', { name: 'Open now' }).click();
  await prepareWheel(desk, 'Diwali wheel', [{ label: 'Silk scarf', stock: 1 }]);
  await desk.getByRole('button', { name: 'Open now' }).click();
  await tab(desk, 'Announce');
  await desk.getByLabel('Words that are not welcome').fill('fake');
  await desk.getByRole('button', { name: 'Use this list' }).click();
  await expect(desk.getByRole('tabpanel').getByRole('button', { name: 'Saved' })).toBeVisible();
  const viewer = await show.viewer(asha);
  await say(viewer, 'Is the blue one pure cotton?');
  await expect.poll(() => texts(desk)).toHaveLength(1);
  await say(viewer, 'Is this a fake?');
  await expect(viewer.getByTestId('draft')).toHaveAttribute('data-state', 'held');
  return { desk, viewer };
}

/** Wholly in the window, and the page was not scrolled for it. */
async function isAtHand(page: Page, part: Locator): Promise<void> {
  await expect(part).toBeInViewport({ ratio: 1 });
  expect(await page.evaluate(() => scrollY)).toBe(0);
}

for (const [width, height] of [
  [360, 640],
  [390, 844],
  [640, 360],
] as const) {
  test(`at ${width} × ${height} chat, held messages and what is open are one tap away`, async ({ show }) => {
    await inFullShow(show);
    const host = await show.console({ viewport: { width, height } });
    await expect(place(host, 'Held')).toContainText('1');
    for (const name of ['Stream', 'Tools', 'Chat', 'Held', 'Log']) await isAtHand(host, place(host, name));

    await place(host, 'Chat').click();
    await isAtHand(host, host.getByText('Is the blue one pure cotton?'));
    await isAtHand(host, host.getByRole('textbox', { name: 'Say something…' }));
    for (const [opened, panel] of [
      ['Peacock saree', 'drops'],
      ['Diwali wheel', 'wheels'],
    ] as const) {
      await host.getByTestId('open-now').getByRole('button', { name: opened }).click();
      await isAtHand(host, host.getByTestId(panel).getByRole('button', { name: 'Close' }));
    }
    await place(host, 'Held').click();
    await isAtHand(host, host.getByRole('button', { name: 'Approve' }));
    await isAtHand(host, host.getByTestId('held').getByText('Is this a fake?'));
    await host.getByRole('button', { name: 'Approve' }).click();
    await expect(place(host, 'Held')).toHaveText('Held');
    await expect(place(host, 'Chat')).toContainText('1');
    await place(host, 'Chat').click();
    await isAtHand(host, host.getByText('Is this a fake?'));
    await expect(place(host, 'Chat')).toHaveText('Chat');
  });
}

test('every part of the console on a phone has nothing to object to, by day and by night', async ({ show }) => {
  const { viewer } = await inFullShow(show);
  for (const colorScheme of ['light', 'dark'] as const) {
    const host = await show.console({ viewport: phone, colorScheme });
    await expect(phase(host)).toHaveAttribute('data-phase', 'live');
    for (const name of ['Stream', 'Tools', 'Chat', 'Held', 'Log']) {
      await place(host, name).click();
      await expect(place(host, name)).toHaveAttribute('aria-current', 'page');
      expect(await findings(host), `${name}, ${colorScheme}`).toEqual([]);
    }
    await lookAt(host, `hand-log-${colorScheme}`, [[360, 640]]);
  }
  // The keyboard is open: what was said last is still there, and where one writes.
  const host = await show.console({ viewport: phone });
  await place(host, 'Chat').click();
  await say(viewer, 'And the red one?');
  await host.setViewportSize({ width: 360, height: 330 });
  await isAtHand(host, host.getByText('And the red one?'));
  await isAtHand(host, host.getByRole('textbox', { name: 'Say something…' }));
  await lookAt(host, 'hand-typing', [[360, 330]]);
});

test('a look at what is held keeps what was written, and the place in the talk', async ({ show }) => {
  const { desk } = await inFullShow(show);
  const host = await show.console({ viewport: phone });
  for (const page of [host, desk]) {
    await tab(page, 'Chat');
    const field = page.getByRole('textbox', { name: 'Say something…' });
    await field.fill('Half cotton, half');
    await tab(page, 'Held');
    await tab(page, 'Chat');
    await expect(field).toHaveValue('Half cotton, half');
  }
});

test('who decides by keyboard goes on from the next message', async ({ show }) => {
  const { desk, viewer } = await inFullShow(show);
  await say(viewer, 'Another fake?');
  await tab(desk, 'Held');
  await expect(desk.getByTestId('held').locator('li')).toHaveCount(2);
  await desk.getByRole('button', { name: 'Reject' }).first().focus();
  await desk.keyboard.press('Enter');
  await expect(desk.getByTestId('held').locator('li')).toHaveCount(1);
  await expect(desk.getByTestId('held').locator('li')).toBeFocused();
  await desk.keyboard.press('Tab');
  await expect(desk.getByRole('button', { name: 'Approve' })).toBeFocused();
});

test('what another one of the staff refused does not wait here any more', async ({ show }) => {
  const { desk } = await inFullShow(show);
  const host = await show.console({ viewport: phone });
  await expect(place(host, 'Held')).toContainText('1');
  await tab(desk, 'Held');
  await desk.getByRole('button', { name: 'Reject' }).click();
  await expect(place(host, 'Held')).toHaveText('Held');
});

test('a switch that the server did not follow shows what holds', async ({ show }) => {
  await show.onAir();
  let to: Injected | undefined;
  const host = await show.console({ inject: (injected) => (to = injected) });
  await expect(phase(host)).toHaveAttribute('data-phase', 'live');
  to?.answer('chat:mode', () => ({ ok: false, error: { code: 'unavailable', message: '' } }));
  await tab(host, 'Announce');
  await host.getByLabel('Pause the chat').click();
  await expect(host.getByRole('alert').filter({ hasText: 'No answer' })).toBeVisible();
  await expect(host.getByLabel('Pause the chat')).not.toBeChecked();
  await host.getByLabel('Slow mode').selectOption('30');
  await expect(host.getByLabel('Slow mode')).toHaveValue('0');
});

test('votes do not move a question away while it is answered', async ({ show }) => {
  const desk = await show.onAir();
  const [one, two] = [await show.viewer(asha), await show.viewer({ sub: 'ravi', name: 'Ravi Kumar' })];
  for (const text of ['Is it cotton?', 'Do you ship to Kochi?']) {
    await one.getByTestId('open-questions').click();
    await one.getByLabel('Ask the host…').fill(text);
    await one.getByRole('button', { name: 'Ask', exact: true }).click();
    await expect(one.getByTestId('question').filter({ hasText: text })).toBeVisible();
    await one.keyboard.press('Escape');
  }
  await tab(desk, 'Questions');
  const rows = desk.getByTestId('questions').locator('li');
  await expect(rows).toHaveText([/cotton/, /Kochi/]);
  await rows.first().getByLabel('Your answer').fill('Half');
  await two.getByTestId('open-questions').click();
  await two.getByTestId('question').filter({ hasText: 'Kochi' }).getByRole('button').click();
  await expect(rows.filter({ hasText: 'Kochi' })).toContainText('1');
  await expect(rows).toHaveText([/cotton/, /Kochi/]);
  await expect(rows.first().getByLabel('Your answer')).toBeFocused();
  await desk.keyboard.press('Enter');
  // Answered, it makes room for the one that is wanted most.
  await expect(rows).toHaveText([/Kochi/, /cotton/]);
});

test('what is held is there however late the words of the page come', async ({ show }) => {
  await inFullShow(show);
  const host = await show.console({ viewport: phone });
  await host.route(/text\.\w+-/, async (route) => {
    // The connection is made, and has told all, long before.
    await host.waitForFunction(() => window.haat?.live.state.stream && window.haat.live.chat.total > 0);
    await host.evaluate(() => window.haat?.live.command('stream:stats', {}));
    await route.continue();
  });
  await host.reload();
  await expect(place(host, 'Held')).toContainText('1');
});
