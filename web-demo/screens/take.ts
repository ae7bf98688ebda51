/** A real show with a small crowd, and a picture of each of its main states. They are in the README: light, and small files. */
import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, type Page } from '@playwright/test';
import { io, type Socket } from 'socket.io-client';
import { Gateway, type Person } from '../e2e/gateway';
import { addProduct, prepareDrop, prepareWheel, tab } from '../e2e/selling';
import { phase, phone, say, Show, test, texts } from '../e2e/show';

const largest = 150_000;
const names = ['Ravi Kumar', 'Fatima S', 'Kiran Joshi', 'Leela Menon', 'Om Prakash', 'Nisha Verma', 'Arjun Das', 'Divya Nair'];
const crowd: Person[] = Array.from({ length: 48 }, (_, i) => ({ sub: `crowd-${i}`, name: names[i % names.length] ?? '' }));
const talk = [
  'Hello from Kochi 🙏',
  'Is the blue one pure cotton?',
  'The border is beautiful ❤️',
  'Can you show the pallu once more?',
  'How long is the delivery?',
];

/** People without a page: real connections all the same. */
class Crowd {
  private readonly sockets: Socket[] = [];

  async join(show: Show): Promise<void> {
    for (const person of crowd) {
      const auth = { token: show.gateway.token(person, show.stream) };
      const socket = io(show.gateway.origin, { auth, transports: ['websocket'], forceNew: true });
      this.sockets.push(socket);
      await socket.timeout(20_000).emitWithAck('stream:join', { stream: show.stream, history: 0 });
    }
  }

  /** The one of that number sends a command; its answer does not matter. */
  async send(show: Show, who: number, command: string, body: object): Promise<void> {
    await this.sockets[who]?.timeout(20_000).emitWithAck(command, { stream: show.stream, ...body });
  }

  leave(): void {
    for (const socket of this.sockets) socket.disconnect();
  }
}

async function take(page: Page, name: string): Promise<void> {
  const path = fileURLToPath(new URL(`./${name}.jpg`, import.meta.url));
  await page.evaluate(() => document.fonts.ready);
  await page.screenshot({ path, type: 'jpeg', quality: 80, animations: 'disabled' });
  expect(statSync(path).size, name).toBeLessThan(largest);
}

test('the main states', async ({ browser }) => {
  const gateway = await Gateway.start({ HAAT_LIMITS_ADDRESS_CONNECTIONS: '0', HAAT_LIMITS_ADDRESS_HANDSHAKES: '0' });
  const show = new Show(gateway, browser, 'main');
  const people = new Crowd();
  try {
    const host = await show.onAir();
    const viewer = await show.viewer({ sub: 'asha', name: 'Asha Rao' }, { viewport: phone, deviceScaleFactor: 2 });
    await expect(phase(viewer)).toHaveAttribute('data-phase', 'live');
    await people.join(show);
    await addProduct(host, 'Chanderi saree, peacock blue', '2499', '12');
    await addProduct(host, 'Cotton dupatta, maroon', '799', '40');
    await host.getByTestId('shelf').getByRole('button', { name: 'Show', exact: true }).last().click();
    for (const [i, text] of talk.entries()) await people.send(show, i, 'chat:send', { text });
    await expect.poll(() => texts(viewer)).toHaveLength(talk.length);
    await say(host, 'Half cotton, half silk. Very light, good for summer.');
    await say(viewer, 'I have waited for this one!');
    await expect.poll(() => texts(viewer)).toHaveLength(talk.length + 2);
    for (let i = 0; i < crowd.length; i++) await people.send(show, i, 'reaction:send', { kind: i % 3 ? 'heart' : 'fire', count: 9 });
    await expect(viewer.getByTestId('reactions')).toHaveAttribute('data-count', String(9 * crowd.length));
    for (let i = 0; i < 6; i++) await people.send(show, i, 'reaction:send', { kind: 'heart', count: 20 });
    await expect(viewer.getByTestId('reactions')).not.toHaveAttribute('data-count', String(9 * crowd.length));
    await take(viewer, 'viewer');

    await prepareDrop(host, { price: '1999', stock: 20 });
    await host.getByRole('button', { name: 'Open now' }).click();
    await expect(viewer.getByTestId('claim')).toBeEnabled();
    const drop = await viewer.evaluate(() => window.haat?.live.state.stream?.drops[0]?.id);
    for (let i = 0; i < 13; i++) await people.send(show, i, 'drop:claim', { drop, requestId: `r${i}` });
    await expect(viewer.getByTestId('left')).toHaveAttribute('data-left', '7');
    await take(viewer, 'drop');
    await viewer.getByTestId('claim').click();
    await expect(viewer.getByTestId('claim')).toHaveText('Yours!');
    await take(viewer, 'claimed');

    await prepareWheel(host, 'Diwali wheel', [{ label: 'Silk scarf', stock: 50 }, { label: '10% off' }, { label: 'Free delivery' }]);
    await host.getByRole('button', { name: 'Open now' }).click();
    await viewer.locator('button[data-kind=wheel]').click();
    await expect(viewer.getByRole('button', { name: 'Spin the wheel' })).toBeVisible();
    await take(viewer, 'wheel');
    await viewer.getByRole('button', { name: 'Spin the wheel' }).click();
    await expect(viewer.getByTestId('spin-result')).not.toBeEmpty();
    await take(viewer, 'won');
    await viewer.keyboard.press('Escape');

    for (let i = 0; i < crowd.length; i++) await people.send(show, i, 'reaction:send', { kind: 'heart', count: 5 });
    await people.send(show, 5, 'chat:send', { text: 'Got mine, thank you! 🎉' });
    await tab(host, 'Drops');
    await expect(host.getByTestId('claims')).toHaveText('14');
    await expect(host.getByTestId('revenue')).toHaveText('₹27,986');
    await take(host, 'console');
    expect(show.errors).toEqual([]);
  } finally {
    people.leave();
    await show.close();
    await gateway.stop();
  }
});
