/** Every state of the viewer's page in every size and both languages, with the longest that people may write. */
import { expect, type Page } from '@playwright/test';
import { Cable } from './cable';
import { fill, fullShow, type Tell } from './full';
import type { Injected } from './injected';
import { drop, products, wheel } from './offers';
import { lookAt, objections } from './sight';
import { phase, type Show, test } from './show';

const long = {
  product: 'Chanderi silk-cotton saree in peacock blue, hand woven, with a border of gold zari'.slice(0, 80),
  name: 'श्रीमती लक्ष्मीनारायण विश्वनाथन राघवेंद्रन'.slice(0, 40),
  notice: 'The next drop opens in five minutes: peacock blue, only 20 pieces, and free delivery for everybody who is here.',
};
const pinned = (stream: string) => ({
  message: {
    id: 'x',
    stream,
    seq: 0,
    at: Date.now(),
    user: { id: 'long', name: long.name, role: 'supplier' },
    text: 'Free delivery above ₹999 today. Ask me anything below, and I answer on air as soon as the drop is over!',
  },
});

/** What of the announcement, the news and the state of the connection reaches over the first offer. */
const overOffers = (page: Page) =>
  page.evaluate(() => {
    const top = document.querySelector('[data-testid=offer]')?.getBoundingClientRect().top ?? 0;
    const above = [...document.querySelectorAll('.over > *, .over .banner')].filter((part) =>
      part.checkVisibility({ visibilityProperty: true }),
    );
    return above.filter((part) => part.getBoundingClientRect().bottom > top + 1).map((part) => `${part.className} ${part.textContent}`);
  });

test('a look finds what it looks for', async ({ page }) => {
  await page.setViewportSize({ width: 360, height: 640 });
  await page.setContent(`<style>body { margin: 0 } button { position: absolute; left: 0; width: 60px; height: 60px }</style>
    <button style="top: 0">fine</button>
    <button style="top: 100px; height: 30px">little</button>
    <button style="top: 200px">under</button><div style="position: absolute; top: 190px; width: 90px; height: 90px">over</div>
    <button style="top: 300px; left: -50px">gone</button>
    <button style="top: 620px">low</button>
    <button style="top: 400px; white-space: nowrap">longer than it has room for</button>
    <p style="position: absolute; top: 500px; height: 10px; margin: 0; overflow: hidden">half</p>`);
  const found = await page.evaluate(objections);
  const expected = [/^small: .*little/, /^covered: .*under/, /^beyond the side: .*gone/, /^beyond the window: .*low/, /^cut off at the side: .*longer/, /^cut off: .*half/];
  for (const one of expected) expect(found.filter((text) => one.test(text)), String(one)).toHaveLength(1);
  expect(found.filter((text) => text.includes('fine'))).toEqual([]);
});

for (const [language, locale] of [
  ['en', 'en-IN'],
  ['hi', 'hi-IN'],
] as const) {
  const look = (page: Page, state: string) => lookAt(page, `state-${language}-${state}`);
  const [least, most] = [{ count: 0 }, { count: 100_000 }];
  /** Messages come late, and no answer says that this is over. */
  const isLate = (tell: Tell, injected: Injected) => {
    injected.answer('stream:join', () => undefined);
    const late = { user: { id: 'long', name: long.name, role: 'viewer' }, at: Date.now() - 60_000 };
    for (let i = 0; i < 12; i++) tell('chat:message', { ...late, id: `late-${i}`, seq: 1000 + i, text: `${long.product} ${i}` });
  };
  /** A full show with everything as long as it may be. */
  const crowded = async (show: Show) => {
    const all = await fullShow(show, { locale });
    fill(all.tell);
    const price = { amount: 123_456_750, currency: 'INR' };
    const longest = { ...products[0], title: long.product, price: { ...price, amount: 234_567_850 } };
    all.tell('products', { products: [longest, ...products.slice(1)] });
    all.tell('drop:opened', { drop: drop(Date.now(), { price, stock: 100_000, left: 14_000, endsAt: Date.now() + 3_700_000 }) });
    all.tell('chat:pinned', pinned(show.stream));
    await expect(all.page.getByTestId('offer')).toHaveCount(4);
    return all;
  };

  test(`before, refused, as a guest, ${language}`, async ({ show }) => {
    const page = await show.viewer({ sub: 'asha', name: long.name }, { locale });
    await expect(phase(page)).toHaveAttribute('data-phase', 'waiting');
    await look(page, 'before');
    const refused = await show.viewer(null, { locale });
    await refused.goto('about:blank');
    await refused.goto(`${show.gateway.origin}/#token=not.a.token&stream=${show.stream}`);
    await expect(phase(refused)).toHaveAttribute('data-phase', 'refused');
    await look(refused, 'refused');
    await show.onAir();
    const guest = await show.viewer(null, { locale });
    await expect(phase(guest)).toHaveAttribute('data-phase', 'live');
    await look(guest, 'guest');
  });

  test(`the longest prices leave every offer in sight on a small phone, ${language}`, async ({ show }) => {
    const { page, tell, injected } = await crowded(show);
    const offers = page.getByTestId('offer');
    const inSight = async () => {
      for (let i = 0; i < 4; i++) await expect(offers.nth(i), `offer ${i}`).toBeInViewport({ ratio: 0.98 });
    };
    await page.setViewportSize({ width: 360, height: 640 });
    await inSight();
    // What is said above leaves them where they are, also beside how the connection is.
    tell('notice', { text: long.notice });
    tell('wheel:won', { wheel: 'w1', user: { id: 'f', name: long.name }, prize: wheel.prizes[0] });
    await expect(page.getByTestId('news')).not.toBeEmpty();
    expect(await overOffers(page)).toEqual([]);
    await inSight();
    // The keyboard is open: the first one is whole, with its time.
    await page.setViewportSize({ width: 360, height: 330 });
    await expect(offers.first()).toBeInViewport({ ratio: 0.98 });
    expect(await overOffers(page)).toEqual([]);
    await page.screenshot({ path: `e2e/screens/state-${language}-typing-360x330.png` });
    isLate(tell, injected);
    await expect(phase(page)).not.toBeEmpty();
    for (const height of [330, 640]) {
      await page.setViewportSize({ width: 360, height });
      expect(await overOffers(page), `behind, at ${height}`).toEqual([]);
    }
  });

  test(`in full show, ${language}`, async ({ show }) => {
    const { page, tell } = await crowded(show);
    tell('viewers', most);
    await expect(page.getByTestId('viewers')).toHaveAttribute('data-count', '100000');
    await look(page, 'full');
    tell('viewers', least);
    tell('notice', { text: long.notice });
    tell('wheel:won', { wheel: 'w1', user: { id: 'f', name: long.name }, prize: wheel.prizes[0] });
    await look(page, 'notice');
    await page.getByTestId('text').first().click();
    await expect(page.getByRole('toolbar')).toBeVisible();
    await look(page, 'chosen');
  });

  test(`every outcome of a claim, ${language}`, async ({ show }) => {
    const { page, tell, injected } = await crowded(show);
    const price = { amount: 123_456_750, currency: 'INR' };
    for (const code of ['paused', 'limit_reached', 'sold_out', 'yours']) {
      const id = `d-${code}`;
      tell('drop:closed', { drop: 'd1' });
      tell('drop:opened', { drop: drop(Date.now(), { id, price, perUser: 1 }) });
      injected.answer('drop:claim', () =>
        code === 'yours'
          ? { ok: true, claim: { id: 'c', drop: id, quantity: 1, price, at: Date.now() }, left: 3 }
          : { ok: false, error: { code, message: '' } },
      );
      const offer = page.locator('[data-kind=drop]').first();
      await offer.getByTestId('claim').click();
      await expect(offer.locator('.note')).not.toBeEmpty();
      await look(page, `claim-${code}`);
      tell('drop:closed', { drop: id });
    }
  });

  test(`won and lost, ${language}`, async ({ show }) => {
    const { page, tell, injected } = await crowded(show);
    const prizes = [{ ...wheel.prizes[0], label: 'A silk scarf from Varanasi, hand painted, in a box of sandalwood' }, ...wheel.prizes.slice(1)];
    for (const [id, prize] of [
      ['won', prizes[0]],
      ['lost', null],
    ] as const) {
      tell('wheel:opened', { wheel: { ...wheel, id, prizes } });
      injected.answer('wheel:spin', () => ({ ok: true, spin: { id: `s-${id}`, prize }, spinsLeft: 0 }));
      await page.locator('[data-kind=wheel] button, button[data-kind=wheel]').first().click();
      await page.getByRole('dialog').locator('button.primary').click();
      await expect(page.getByTestId('spin-result')).not.toBeEmpty();
      await look(page, `wheel-${id}`);
      await page.keyboard.press('Escape');
    }
    for (const [open, name] of [
      [page.getByTestId('open-shop'), 'shop'],
      [page.getByTestId('open-questions'), 'questions'],
      [page.locator('[data-kind=poll] button, button[data-kind=poll]').first(), 'poll'],
    ] as const) {
      await open.click();
      await expect(page.getByRole('dialog')).toBeVisible();
      await look(page, name);
      await page.keyboard.press('Escape');
    }
  });

  test(`slow, paused, muted, behind and banned, ${language}`, async ({ show }) => {
    const { page, tell, injected } = await crowded(show);
    tell('chat:mode', { slowSeconds: 30, membersOnly: true });
    await expect(page.getByTestId('hint')).not.toBeEmpty();
    await look(page, 'slow');
    tell('chat:mode', { paused: true });
    await look(page, 'paused');
    tell('user:muted', { until: Date.now() + 600_000, reason: 'Please be kind to each other, and to the host' });
    await expect(page.getByTestId('muted')).toBeVisible();
    await look(page, 'muted');
    isLate(tell, injected);
    await expect(phase(page)).not.toBeEmpty();
    await look(page, 'behind');
    tell('user:banned', { until: Date.now() + 600_000, reason: 'Advertising another shop, again and again' });
    await expect(phase(page)).toHaveAttribute('data-phase', 'banned');
    await look(page, 'banned');
  });

  test(`reconnecting and ended, ${language}`, async ({ show }) => {
    const cable = await Cable.to(show.gateway.port);
    const host = await show.onAir();
    const page = await show.viewer({ sub: 'asha', name: long.name }, { locale, origin: cable.origin });
    await expect(phase(page)).toHaveAttribute('data-phase', 'live');
    cable.pull();
    await expect(phase(page)).toHaveAttribute('data-phase', 'reconnecting');
    await page.getByRole('textbox').fill('Is anybody there?');
    await page.getByRole('textbox').press('Enter');
    await look(page, 'reconnecting');
    cable.plug();
    await expect(phase(page)).toHaveAttribute('data-phase', 'live');
    await host.getByRole('button', { name: 'End stream' }).click();
    await host.getByRole('button', { name: 'End now' }).click();
    await expect(phase(page)).toHaveAttribute('data-phase', 'ended');
    await look(page, 'ended');
    cable.stop();
  });
}
