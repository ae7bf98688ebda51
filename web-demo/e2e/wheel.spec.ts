/** Spinning, for real: the server draws, everybody gets as many spins as the wheel allows, and the stock of a prize holds. */
import { createHash } from 'node:crypto';
import { expect, type Page } from '@playwright/test';
import { Cable } from './cable';
import { prepareWheel } from './selling';
import { phase, shot, test } from './show';

const asha = { sub: 'asha', name: 'Asha Rao' };
const ravi = { sub: 'ravi', name: 'Ravi Kumar' };

async function spin(page: Page): Promise<string> {
  await page.locator('button[data-kind=wheel]').click();
  await page.getByRole('button', { name: 'Spin the wheel' }).click();
  await expect(page.getByTestId('spin-result')).not.toBeEmpty();
  return (await page.getByTestId('spin-result').textContent()) ?? '';
}

test('a prize that there is once is won once', async ({ show }) => {
  const host = await show.onAir();
  await prepareWheel(host, 'Diwali wheel', [{ label: 'Silk scarf', stock: 1 }]);
  const [one, two] = [await show.viewer(asha), await show.viewer(ravi)];
  await host.getByRole('button', { name: 'Open now' }).click();
  expect(await spin(one)).toBe('You won: Silk scarf!');
  expect(await spin(two)).toBe('No luck this time');
  await expect(one.getByRole('dialog')).toContainText('You have used all your spins.');
  await shot(one, 'wheel-won-phone');
  await one.keyboard.press('Escape');
  await one.getByTestId('open-shop').click();
  await expect(one.getByTestId('mine')).toContainText('Silk scarf');
  await host.getByRole('tab', { name: 'Log' }).click();
  await expect(host.getByTestId('log')).toContainText('Silk scarf · by Asha Rao');
});

test('the wheel shows its secret when it is closed', async ({ show }) => {
  const host = await show.onAir();
  await prepareWheel(host, 'Diwali wheel', [{ label: '10% off' }]);
  await host.getByRole('button', { name: 'Open now' }).click();
  const viewer = await show.viewer(asha);
  await viewer.locator('button[data-kind=wheel]').click();
  await viewer.getByText('Decided before it opened').click();
  await expect(viewer.locator('details code')).toHaveCount(1);
  await host.getByTestId('wheels').getByRole('button', { name: 'Close' }).click();
  await host.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
  await expect(viewer.locator('details code')).toHaveCount(2);
  await expect(viewer.getByRole('button', { name: 'Spin the wheel' })).toBeDisabled();
  // The fingerprint that was there before is that of the secret that is shown now.
  const proof = await viewer.evaluate(() => {
    const [wheel] = window.haat?.live.state.stream?.wheels ?? [];
    return { seed: wheel?.seed, seedHash: wheel?.seedHash };
  });
  expect(
    createHash('sha256')
      .update(Buffer.from(proof.seed ?? '', 'hex'))
      .digest('hex'),
  ).toBe(proof.seedHash);
});

test('a spin whose answer is lost is made once', async ({ show }) => {
  const cable = await Cable.to(show.gateway.port);
  const host = await show.onAir();
  await prepareWheel(host, 'Diwali wheel', [{ label: 'Silk scarf', stock: 5 }]);
  await host.getByRole('button', { name: 'Open now' }).click();
  const viewer = await show.viewer(asha, { origin: cable.origin });
  await viewer.locator('button[data-kind=wheel]').click();
  cable.muteDown();
  await viewer.getByRole('button', { name: 'Spin the wheel' }).click();
  await host.getByRole('tab', { name: 'Log' }).click();
  await expect(host.getByTestId('log')).toContainText('Silk scarf · by Asha Rao');
  cable.pull();
  await expect(phase(viewer)).toHaveAttribute('data-phase', 'reconnecting');
  cable.plug();
  await expect(viewer.getByTestId('spin-result')).toHaveText('You won: Silk scarf!');
  await expect(host.getByTestId('log').getByText('Prize won')).toHaveCount(1);
  cable.stop();
});
