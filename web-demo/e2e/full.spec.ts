/** A show with everything on at once, injected into the connection: how it looks, and that every outcome is told. */
import { expect, type Page } from '@playwright/test';
import { fill, fullShow } from './full';
import { drop, wheel } from './offers';
import { desktop, type Look, shot, test } from './show';

const offers = (page: Page) => page.getByTestId('offer');

/** What the reactions' buttons lie on top of, that one should read or press. */
const covered = (page: Page) =>
  page.evaluate(() => {
    /** What can be seen of it: offers scroll. */
    const seen = (part: Element) => {
      const { left, right, top, bottom } = part.getBoundingClientRect();
      const end = part.closest('.deck')?.getBoundingClientRect().bottom ?? bottom;
      return { left, right, top, bottom: Math.min(bottom, end) };
    };
    const boxes = (selector: string) => [...document.querySelectorAll(selector)].map((part) => [part, seen(part)] as const);
    const rail = boxes('.faces > button');
    const parts = boxes('[data-testid=offer], [data-testid=pinned-message], [data-testid=news] p');
    const hit = (a: ReturnType<typeof seen>, b: ReturnType<typeof seen>) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
    if (rail.length < 2) return ['no buttons'];
    return parts.filter(([, box]) => rail.some(([, button]) => hit(box, button))).map(([part]) => part.textContent);
  });

for (const [name, look] of [
  ['phone-light', {}],
  ['phone-dark', { colorScheme: 'dark' }],
  ['phone-hindi', { locale: 'hi-IN' }],
  ['phone-flat', { viewport: { width: 640, height: 360 } }],
  ['tablet', { viewport: { width: 768, height: 1024 } }],
  ['desktop-light', { viewport: desktop }],
  ['desktop-dark', { viewport: desktop, colorScheme: 'dark' }],
] as [string, Look][]) {
  test(`everything at once, ${name}`, async ({ show }) => {
    const { page, tell } = await fullShow(show, look);
    fill(tell);
    await expect(offers(page)).toHaveCount(4);
    tell('chat:pinned', aboutDelivery(show.stream));
    await page.getByTestId('heart').click();
    await shot(page, `full-${name}`);
    expect(await covered(page)).toEqual([]);
    tell('notice', { text: 'The next drop opens in five minutes: peacock blue, only 20 pieces.' });
    tell('wheel:won', { wheel: 'w1', user: { id: 'f', name: 'Fatima S' }, prize: wheel.prizes[0] });
    await expect(page.getByTestId('news')).not.toBeEmpty();
    await shot(page, `full-notice-${name}`);
    for (const kind of ['shop', 'questions']) {
      await page.getByTestId(`open-${kind}`).click();
      await expect(page.getByRole('dialog')).toBeVisible();
      await shot(page, `full-${kind}-${name}`);
      await page.keyboard.press('Escape');
      await expect(page.getByRole('dialog')).toHaveCount(0);
    }
    for (const kind of ['wheel', 'poll']) {
      await page.locator(`[data-kind=${kind}] button, button[data-kind=${kind}]`).click();
      await expect(page.getByRole('dialog')).toBeVisible();
      await shot(page, `full-${kind}-${name}`);
      await page.keyboard.press('Escape');
    }
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
    const heights = await page.locator('button:visible').evaluateAll((all) => all.map((b) => b.getBoundingClientRect().height));
    expect(Math.min(...heights)).toBeGreaterThanOrEqual(44);
  });
}

/** Which of these are not wholly there: beyond the window, or with something on top of them. */
const notFree = (page: Page, selectors: string[]) =>
  page.evaluate((selectors) => {
    const isFree = (part: Element | null) => {
      if (!part) return false;
      const { left, right, top, bottom } = part.getBoundingClientRect();
      const [x, y] = [(left + right) / 2, (top + bottom) / 2];
      // The corners of a round button are not its own: the middles of its edges are.
      const points = [[x, y], [left + 3, y], [right - 3, y], [x, top + 3], [x, bottom - 3]] as [number, number][];
      const isInside = left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight;
      return isInside && points.every(([x, y]) => part.contains(document.elementFromPoint(x, y)));
    };
    return selectors.filter((selector) => !isFree(document.querySelector(selector)));
  }, selectors);

const aboutDelivery = (stream: string) => ({
  message: {
    id: 'x',
    stream,
    seq: 0,
    at: Date.now(),
    user: { id: 'meena', name: 'Meena', role: 'supplier' },
    text: 'Free delivery above ₹999 today. Ask me anything below!',
  },
});

for (const [name, width, height, chat] of [
  ['a phone on its side', 640, 360, 180],
  ['a longer one', 740, 360, 180],
  ['a small one', 568, 320, 140],
  ['one with a bar of the browser', 640, 300, 120],
  ['a large one', 932, 430, 240],
  ['a phone whose keyboard is open', 360, 330, 60],
  ['a phone on its side whose keyboard is open', 640, 170, 80],
] as const) {
  test(`with everything on at once, ${name} has room for the chat, the claim and its time`, async ({ show }) => {
    const { page, tell } = await fullShow(show, { viewport: { width, height } });
    fill(tell);
    tell('chat:pinned', aboutDelivery(show.stream));
    await expect(offers(page)).toHaveCount(4);
    const must = ['[data-testid=claim]', '[data-kind=drop] .time', 'textarea', '.send'];
    const isTyping = name.endsWith('open');
    if (!isTyping) must.push('[data-testid=pinned-message]', '[data-testid=heart]', '[data-testid=open-shop]', '[data-testid=title]');
    await shot(page, `room-${width}x${height}`);
    const list = await page.getByRole('log').boundingBox();
    expect(list?.height).toBeGreaterThanOrEqual(chat);
    expect(list?.width).toBeGreaterThanOrEqual(220);
    expect(await notFree(page, must)).toEqual([]);
    if (!isTyping) expect(await covered(page)).toEqual([]);
    // What lasts and what is new leave the claim where it is, too.
    tell('notice', { text: 'The next drop opens in five minutes: peacock blue, only 20 pieces.' });
    tell('wheel:won', { wheel: 'w1', user: { id: 'f', name: 'Fatima S' }, prize: wheel.prizes[0] });
    await expect(page.getByTestId('news')).not.toBeEmpty();
    await shot(page, `room-notice-${width}x${height}`);
    expect(await notFree(page, must)).toEqual([]);
    expect((await page.getByRole('log').boundingBox())?.height).toBeGreaterThanOrEqual(chat);
  });
}

test('a phone that is turned, and back, still shows the newest message', async ({ show }) => {
  const { page, tell } = await fullShow(show);
  fill(tell);
  const said = { stream: show.stream, user: { id: 'ravi', name: 'Ravi Kumar', role: 'viewer' }, at: Date.now() };
  for (let i = 0; i < 30; i++) tell('chat:message', { ...said, id: `said-${i}`, seq: 1000 + i, text: `Number ${i}, and how long is the delivery to Kochi?` });
  const newest = page.getByText('Number 29,');
  await expect(newest).toBeInViewport();
  for (const [width, height] of [
    [640, 360],
    [360, 640],
    [360, 330],
  ] as const) {
    await page.setViewportSize({ width, height });
    await expect(newest).toBeInViewport();
    // Two frames: the list has heard of its size.
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    await expect(page.getByTestId('latest')).toHaveCount(0);
    await expect(newest).toBeInViewport();
  }
  // The scrolling that a smaller list brings about may be told before its size is.
  await page.getByRole('log').evaluate((list) => {
    (list.parentElement as HTMLElement).style.flex = '0 0 20px';
    list.dispatchEvent(new Event('scroll'));
  });
  await expect(newest).toBeInViewport();
  await expect(page.getByTestId('latest')).toHaveCount(0);
});

const outcomes = [
  ['sold_out', 'Sold out', 'Somebody was faster this time.'],
  ['limit_reached', 'You have your share.', 'You have your share.'],
  ['closed', 'Over', 'This is closed.'],
  ['paused', 'Try again', 'This is paused right now.'],
] as const;

for (const [code, label, note] of outcomes) {
  test(`a claim that is answered with ${code} says so`, async ({ show }) => {
    const { page, tell, injected } = await fullShow(show);
    fill(tell);
    injected.answer('drop:claim', () => ({ ok: false, error: { code, message: '' } }));
    await page.getByTestId('claim').click();
    await expect(page.getByTestId('claim')).toHaveText(label);
    await expect(page.locator('[data-kind=drop]')).toContainText(note);
    await shot(page, `claim-${code}-phone`);
  });
}

test('a claim without an answer is repeated under one request id, until there is one', async ({ show }) => {
  const { page, tell, injected } = await fullShow(show);
  fill(tell);
  let asked = 0;
  const price = { amount: 199_900, currency: 'INR' };
  injected.answer('drop:claim', () => {
    if (++asked < 3) return { ok: false, error: { code: 'unavailable', message: '' } };
    return { ok: true, claim: { id: 'c', drop: 'd1', quantity: 1, price, at: Date.now() }, left: 3 };
  });
  await page.getByTestId('claim').click();
  await expect(page.getByTestId('claim')).toHaveText('Yours!');
  expect(new Set(injected.asked.map(({ body }) => body.requestId)).size).toBe(1);
  expect(injected.asked).toHaveLength(3);
});

for (const prize of [...wheel.prizes, null]) {
  test(`the wheel stops on ${prize?.id ?? 'nothing'} when the server drew that`, async ({ show }) => {
    const { page, tell, injected } = await fullShow(show);
    fill(tell);
    injected.answer('wheel:spin', () => ({ ok: true, spin: { id: 's1', prize }, spinsLeft: 0 }));
    await page.locator('button[data-kind=wheel]').click();
    await page.getByRole('button', { name: 'Spin the wheel' }).click();
    await expect(page.getByTestId('spin-result')).toHaveText(prize ? `You won: ${prize.label}!` : 'No luck this time');
    // What is drawn under the pointer is what was told.
    const pointed = await page.getByTestId('disc').evaluate((disc) => {
      disc.scrollIntoView({ block: 'center', behavior: 'instant' });
      const { left, top, width, height } = disc.getBoundingClientRect();
      const [x, y] = [left + width / 2, top + height / 2 - disc.clientWidth * 0.4];
      const slices = [...disc.querySelectorAll('path')];
      const hit = document.elementsFromPoint(x, y).find((element) => slices.includes(element as SVGPathElement));
      return slices.indexOf(hit as SVGPathElement);
    });
    expect(pointed).toBe(prize ? wheel.prizes.findIndex(({ id }) => id === prize.id) : wheel.prizes.length);
    await expect(page.getByRole('button', { name: 'Spin the wheel' })).toBeDisabled();
    await shot(page, `wheel-${prize?.id ?? 'nothing'}-phone`);
  });
}

test('a drop that is paused, and one that opens soon', async ({ show }) => {
  const { page, tell } = await fullShow(show);
  fill(tell);
  tell('drop:opened', { drop: drop(Date.now(), { id: 'd1', status: 'paused' }) });
  await expect(page.getByTestId('claim')).toHaveText('Paused');
  await expect(page.locator('[data-kind=drop]')).toContainText('The stock is being checked.');
  tell('drop:opened', { drop: drop(Date.now(), { id: 'd2', opensAt: Date.now() + 60_000, endsAt: Date.now() + 120_000 }) });
  await expect(page.locator('[data-kind=drop]').first()).toContainText('Opens in');
});
