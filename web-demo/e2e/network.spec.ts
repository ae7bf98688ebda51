import { expect, type Page } from '@playwright/test';
import { Cable } from './cable';
import { fullShow } from './full';
import { Gateway } from './gateway';
import { phase, say, Show, shot, test, texts } from './show';

const asha = { sub: 'asha', name: 'Asha Rao' };
const ravi = { sub: 'ravi', name: 'Ravi Kumar' };
const numbered = (word: string, count: number) => Array.from({ length: count }, (_, i) => `${word} ${i + 1}`);

/** Both write and read; then one is cut off, both write on, and the one comes back. */
async function loseAndReturn(show: Show, lose: (page: Page) => Promise<void> | void, restore: (page: Page) => Promise<void> | void, origin?: string) {
  const host = await show.onAir();
  const away = await show.viewer(asha, { origin });
  const there = await show.viewer(ravi);
  for (const page of [away, there]) await expect(phase(page)).toHaveAttribute('data-phase', 'live');
  await say(away, 'before');
  await expect.poll(() => texts(there)).toEqual(['before']);
  await expect.poll(() => texts(away)).toEqual(['before']);

  await lose(away);
  await expect(phase(away)).toHaveAttribute('data-phase', 'reconnecting');
  for (const text of numbered('missed', 5)) await say(there, text);
  await say(host, 'also missed');
  await say(away, 'written offline');
  await expect.poll(() => texts(host)).toHaveLength(7);
  await expect(away.getByTestId('draft')).toHaveAttribute('data-state', 'waiting');
  await shot(away, `viewer-${origin ? 'reconnecting' : 'offline'}-phone`);

  await restore(away);
  await expect(phase(away)).toContainText('6 missed messages');
  await shot(away, 'viewer-caught-up-phone');
  const all = ['before', ...numbered('missed', 5), 'also missed', 'written offline'];
  for (const page of [away, there, host]) await expect.poll(() => texts(page)).toEqual(all);
  await expect(away.getByTestId('draft')).toHaveCount(0);
  await expect(phase(away)).toHaveAttribute('data-phase', 'live');
  return away;
}

test('a cut connection comes back with nothing missed and nothing twice', async ({ show }) => {
  const cable = await Cable.to(show.gateway.port);
  const away = await loseAndReturn(
    show,
    () => cable.pull(),
    () => cable.plug(),
    cable.origin,
  );
  const wasRecovered = await away.evaluate(() => window.haat?.live.recovered);
  expect(wasRecovered).toBe(true);
  cable.stop();
});

test('a phone without network says so, and is back at once', async ({ show }) => {
  await loseAndReturn(
    show,
    async (page) => {
      await page.context().setOffline(true);
    },
    async (page) => {
      await expect(phase(page)).toContainText('You are offline');
      await page.context().setOffline(false);
    },
  );
});

test('a connection that is too slow says so, until it has caught up', async ({ show }) => {
  const { page, tell, injected } = await fullShow(show);
  await expect(phase(page)).toHaveText('');
  const state = await page.evaluate(() => window.haat?.live.state.stream);
  const me = await page.evaluate(() => window.haat?.live.state.me);
  let isThrough = false;
  injected.answer('stream:join', () => (isThrough ? { ok: true, state: { ...state, now: Date.now() }, me, history: [] } : undefined));
  const user = { id: 'ravi', name: 'Ravi Kumar', role: 'viewer' };
  const say = (i: number, at: number) => tell('chat:message', { id: `late${i}`, seq: 1000 + i, at, user, text: `late ${i}` });
  for (let i = 0; i < 5; i++) say(i, Date.now() - 60_000);
  await expect(phase(page)).toContainText('The network is slow');
  await shot(page, 'viewer-behind-phone');
  isThrough = true;
  await expect(phase(page)).toHaveText('');
});

test('a message whose acknowledgement is lost is sent once', async ({ show }) => {
  const cable = await Cable.to(show.gateway.port);
  const host = await show.onAir();
  const viewer = await show.viewer(asha, { origin: cable.origin });
  await expect(phase(viewer)).toHaveAttribute('data-phase', 'live');
  cable.muteDown();
  await say(viewer, 'only once');
  await expect.poll(() => texts(host)).toEqual(['only once']);
  await expect(viewer.getByTestId('draft')).toBeVisible();
  cable.pull();
  cable.plug();
  await expect(viewer.getByTestId('draft')).toHaveCount(0);
  await say(host, 'after');
  for (const page of [viewer, host]) await expect.poll(() => texts(page)).toEqual(['only once', 'after']);
  cable.stop();
});

test('without recovery the history brings what was missed', async ({ browser }) => {
  const gateway = await Gateway.start({ HAAT_RECOVERY_SECONDS: '0' });
  const cable = await Cable.to(gateway.port);
  const show = new Show(gateway, browser);
  try {
    const away = await loseAndReturn(
      show,
      () => cable.pull(),
      () => cable.plug(),
      cable.origin,
    );
    expect(await away.evaluate(() => window.haat?.live.recovered)).toBe(false);
    expect(show.errors).toEqual([]);
  } finally {
    cable.stop();
    await show.close();
    await gateway.stop();
  }
});

test('a gateway that lost everything: the pages come back, and nothing shows twice', async ({ browser }) => {
  const first = await Gateway.start();
  const show = new Show(first, browser);
  let second: Gateway | undefined;
  try {
    const host = await show.onAir('Before the crash');
    const viewer = await show.viewer(asha);
    await expect(phase(viewer)).toHaveAttribute('data-phase', 'live');
    for (const text of numbered('old', 3)) await say(viewer, text);
    await expect.poll(() => texts(host)).toEqual(numbered('old', 3));
    await first.stop();
    await expect(phase(viewer)).toHaveAttribute('data-phase', 'reconnecting');
    await say(viewer, 'kept');
    second = await Gateway.start({}, first.port);
    // The new process knows nothing of the stream: the viewer waits, and says so.
    await expect(phase(viewer)).toHaveAttribute('data-phase', 'waiting');
    await expect(phase(viewer)).toContainText('not started yet');
    await shot(viewer, 'viewer-restarted-phone');
    await host.getByLabel('Title', { exact: true }).fill('After the crash');
    await host.getByRole('button', { name: 'Go live' }).click();
    await expect(viewer.getByTestId('title')).toHaveText('After the crash');
    await say(host, 'new');
    // The first one of the new epoch has a smaller number than those of the old one, and still comes behind them.
    const all = ['kept', 'new'].sort();
    for (const page of [viewer, host]) {
      await expect.poll(async () => (await texts(page)).slice(0, 3)).toEqual(numbered('old', 3));
      await expect.poll(async () => (await texts(page)).slice(3).sort()).toEqual(all);
    }
    expect(show.errors).toEqual([]);
  } finally {
    await show.close();
    await first.stop();
    await second?.stop();
  }
});

test('a burst beyond the limit waits, and arrives whole, in order and once', async ({ show }) => {
  const host = await show.onAir();
  const viewer = await show.viewer(asha);
  await expect(phase(viewer)).toHaveAttribute('data-phase', 'live');
  const all = numbered('burst', 12);
  await viewer.evaluate((texts) => texts.forEach((text) => window.haat?.live.send(text)), all);
  await expect(viewer.getByTestId('hint')).toContainText('One moment');
  await shot(viewer, 'viewer-cooling-phone');
  await expect.poll(() => texts(host), { timeout: 45_000 }).toEqual(all);
  await expect.poll(() => texts(viewer)).toEqual(all);
});

test('a session that expires says so, and goes on with a newer token', async ({ browser }) => {
  const gateway = await Gateway.start({ HAAT_AUTH_LEEWAY_SECONDS: '0' });
  const show = new Show(gateway, browser);
  try {
    await show.onAir();
    const viewer = await show.viewer(asha, { ttl: 8 });
    await expect(phase(viewer)).toContainText('Your session has expired');
    await shot(viewer, 'viewer-expired-phone');
    const token = gateway.token(asha, show.stream);
    await viewer.evaluate((token) => void (location.hash = `token=${token}`), token);
    await expect(phase(viewer)).toHaveText('');
    expect(viewer.url()).not.toContain(token);
    await say(viewer, 'still here');
    await expect.poll(() => texts(viewer)).toEqual(['still here']);
    expect(show.errors).toEqual([]);
  } finally {
    await show.close();
    await gateway.stop();
  }
});
