import { expect } from '@playwright/test';
import { desktop, phase, say, shot, test, texts } from './show';

const asha = { sub: 'asha', name: 'Asha Rao' };
const ravi = { sub: 'ravi', name: 'Ravi Kumar' };

test('viewers who came early see the stream start', async ({ show }) => {
  const viewer = await show.viewer(asha);
  await expect(phase(viewer)).toContainText('not started yet');
  await shot(viewer, 'viewer-waiting-phone');
  await show.onAir('Handloom sarees');
  await expect(viewer.getByTestId('stream-status')).toHaveText('LIVE');
  await expect(viewer.getByTestId('title')).toHaveText('Handloom sarees');
});

test('chat crosses in every direction, with the host marked', async ({ show }) => {
  const host = await show.onAir();
  const one = await show.viewer(asha);
  const two = await show.viewer(ravi, { viewport: desktop });
  for (const page of [one, two]) await expect(phase(page)).toHaveAttribute('data-phase', 'live');
  await say(one, 'Is the blue one pure cotton?');
  await expect(host.getByText('Is the blue one pure cotton?')).toBeVisible();
  await say(host, 'Yes, hand woven in Chanderi.');
  await expect(two.getByText('Yes, hand woven in Chanderi.')).toBeVisible();
  await say(two, 'Beautiful! 🙏');
  const all = ['Is the blue one pure cotton?', 'Yes, hand woven in Chanderi.', 'Beautiful! 🙏'];
  for (const page of [host, one, two]) await expect.poll(() => texts(page)).toEqual(all);
  await expect(two.getByTestId('message').nth(1).getByText('Host', { exact: true })).toBeVisible();
});

test('everybody sees how many watch', async ({ show }) => {
  const host = await show.onAir();
  const one = await show.viewer(asha);
  const before = Number(await one.getByTestId('viewers').getAttribute('data-count'));
  const two = await show.viewer(ravi);
  await expect(phase(two)).toHaveAttribute('data-phase', 'live');
  const count = async (page: typeof one) => Number(await page.getByTestId('viewers').getAttribute('data-count'));
  await expect.poll(() => count(two)).toBeGreaterThanOrEqual(2);
  const after = await count(two);
  expect(after).toBeGreaterThan(before - 1);
  await expect.poll(() => count(one)).toBe(after);
  await expect(host.getByTestId('watching')).toHaveText(String(after));
  await two.close();
  await expect.poll(() => count(one)).toBe(after - 1);
});

test('a new title reaches the viewers', async ({ show }) => {
  const host = await show.onAir('First');
  const viewer = await show.viewer(asha);
  await expect(viewer.getByTestId('title')).toHaveText('First');
  await host.getByLabel('Title', { exact: true }).fill('Second');
  await host.getByRole('button', { name: 'Save title' }).click();
  await expect(viewer.getByTestId('title')).toHaveText('Second');
});

test('a guest reads and cannot write', async ({ show }) => {
  const host = await show.onAir();
  const guest = await show.viewer(null);
  await say(host, 'Welcome');
  await expect(guest.getByText('Welcome')).toBeVisible();
  await expect(guest.getByTestId('guest-hint')).toBeVisible();
  await expect(guest.getByRole('textbox')).toHaveCount(0);
  const reply = await guest.evaluate(() => window.haat?.live.command('chat:send', { text: 'anyway' }));
  expect(reply).toMatchObject({ ok: false, error: { code: 'unauthorized' } });
  await shot(guest, 'viewer-guest-phone');
});

test('a viewer cannot run the stream from the console', async ({ show }) => {
  await show.onAir();
  const viewer = await show.viewer(asha);
  await viewer.goto(`${show.gateway.origin}/console.html`);
  await expect(viewer.getByText('This account cannot run this stream.')).toBeVisible();
  await expect(viewer.getByRole('button', { name: 'End stream' })).toHaveCount(0);
});

test('a refused token is explained, and one can go on as a guest', async ({ show }) => {
  await show.onAir();
  const viewer = await show.viewer(null);
  await viewer.goto('about:blank');
  await viewer.goto(`${show.gateway.origin}/#token=not.a.token&stream=${show.stream}`);
  await expect(phase(viewer)).toContainText('did not let you in');
  await shot(viewer, 'viewer-refused-phone');
  await viewer.getByRole('button', { name: 'Watch as a guest' }).click();
  await expect(phase(viewer)).toHaveAttribute('data-phase', 'live');
});

test('the token leaves the address bar and survives a reload', async ({ show }) => {
  await show.onAir();
  const viewer = await show.viewer(asha);
  await expect(phase(viewer)).toHaveAttribute('data-phase', 'live');
  expect(viewer.url()).not.toContain('token');
  await viewer.reload();
  await say(viewer, 'still me');
  await expect.poll(() => texts(viewer)).toEqual(['still me']);
});

test('what people write is text and nothing else', async ({ show }) => {
  const host = await show.onAir();
  const viewer = await show.viewer(asha);
  const nasty = '<img src=x onerror="document.title=1"> <b>bold</b> {@html 1} javascript:alert(1)';
  await say(viewer, nasty);
  await expect.poll(() => texts(host)).toEqual([nasty]);
  await expect(host.locator('[data-testid=text] *')).toHaveCount(0);
});

test('ending asks once, and tells everybody', async ({ show }) => {
  const host = await show.onAir();
  const viewer = await show.viewer(asha);
  await expect(phase(viewer)).toHaveAttribute('data-phase', 'live');
  await host.getByRole('button', { name: 'End stream' }).click();
  await shot(host, 'console-end-desktop');
  await host.getByRole('button', { name: 'Keep streaming' }).click();
  await expect(viewer.getByTestId('stream-status')).toHaveText('LIVE');
  await host.getByRole('button', { name: 'End stream' }).click();
  await host.getByRole('button', { name: 'End now' }).click();
  await expect(viewer.getByTestId('stream-status')).toHaveText('ENDED');
  await expect(phase(viewer)).toContainText('has ended');
  await expect(viewer.getByText('The chat is closed.')).toBeVisible();
  await expect(host.getByRole('button', { name: 'Go live again' })).toBeVisible();
  await shot(viewer, 'viewer-ended-phone');
});

test('the pages speak Hindi', async ({ show }) => {
  await show.onAir();
  const viewer = await show.viewer(asha);
  await viewer.getByRole('button', { name: 'Switch to Hindi' }).click();
  await expect(viewer.getByTestId('stream-status')).toHaveText('लाइव');
  await expect(viewer.locator('html')).toHaveAttribute('lang', 'hi');
  await shot(viewer, 'viewer-hindi-phone');
});

test('the keyboard is enough', async ({ show }) => {
  await show.onAir();
  const viewer = await show.viewer(asha, { viewport: desktop });
  await expect(phase(viewer)).toHaveAttribute('data-phase', 'live');
  for (let i = 0; i < 12; i++) {
    await viewer.keyboard.press('Tab');
    if (await viewer.evaluate(() => document.activeElement?.tagName === 'TEXTAREA')) break;
  }
  await viewer.keyboard.type('typed');
  await viewer.keyboard.press('Enter');
  await expect.poll(() => texts(viewer)).toEqual(['typed']);
});
