/**
 * Two gateways on one Redis behind a balancer that is not sticky, and the pages of a show on both. One gateway is killed while
 * people claim: whoever was on it is told so, comes back to the other one, and misses nothing; nobody gets what is not there.
 */
import { expect, type Page } from '@playwright/test';
import { type Fleet, missing, startFleet } from '../../server/tests/clients/support/fleet.js';
import { demo, mint, type Person, secret } from './gateway';
import { addProduct, prepareDrop } from './selling';
import { phase, say, Show, shot, test, texts } from './show';

const people: Person[] = ['Asha Rao', 'Ravi Kumar', 'Fatima S', 'Kiran Joshi'].map((name) => ({
  sub: name.split(' ')[0]?.toLowerCase() ?? '',
  name,
}));
const claim = (page: Page) => page.getByTestId('claim');

/** What the page has said of its connection, in order. */
const told = (page: Page) => page.evaluate(() => (window as unknown as { told: [string, string][] }).told);

async function listen(page: Page): Promise<void> {
  await page.evaluate(() => {
    const status = document.querySelector('[data-testid=status]') as HTMLElement;
    const told: [string, string][] = [];
    const note = () => {
      const now: [string, string] = [status.dataset.phase ?? '', status.textContent?.trim() ?? ''];
      if (told.at(-1)?.join() !== now.join()) told.push(now);
    };
    new MutationObserver(note).observe(status, { attributes: true, childList: true, characterData: true, subtree: true });
    note();
    Object.assign(window, { told });
  });
}

/** How many connections each gateway has. */
async function sessions({ gateways }: Fleet): Promise<number[]> {
  const asked = gateways.map(async ({ side }) => {
    const { sessions } = (await (await fetch(`${side}/debug/connections`)).json()) as { sessions: number };
    return sessions;
  });
  return Promise.all(asked);
}

test('a gateway is killed in the middle of a drop, and the show goes on', async ({ browser }) => {
  test.skip(Boolean(missing), String(missing));
  const fleet = await startFleet(2, { HAAT_AUTH_SECRET: secret, HAAT_DEMO: demo });
  const show = new Show({ origin: fleet.url, token: mint }, browser);
  try {
    const host = await show.onAir();
    await addProduct(host, 'Peacock saree', '2499');
    const stock = 3;
    await prepareDrop(host, { price: '1999', stock });

    const pages: Page[] = [];
    for (const person of people) {
      pages.push(await show.viewer(person));
      await expect(phase(pages.at(-1) as Page)).toHaveAttribute('data-phase', 'live');
    }
    // The balancer takes turns. Whoever came to the gateway that has too many connects anew, until there are some on both.
    for (let turn = 0; Math.min(...(await sessions(fleet))) < 2; turn++) {
      expect(turn, 'turns').toBeLessThan(100);
      const page = pages[turn % pages.length] as Page;
      await page.evaluate(() => window.haat?.live.reconnectAs(window.haat.live.token));
      await expect(phase(page)).toHaveAttribute('data-phase', 'live');
    }
    const everybody = [host, ...pages];
    for (const page of everybody) {
      await expect(phase(page)).toHaveText('');
      await listen(page);
    }

    const before = pages.map((_, i) => `before ${i}`);
    for (const [i, page] of pages.entries()) await say(page, before[i] as string);
    for (const page of everybody) await expect.poll(async () => (await texts(page)).sort()).toEqual(before);

    await host.getByRole('button', { name: 'Open now' }).click();
    for (const page of pages) await expect(claim(page)).toBeEnabled();
    const [first, ...others] = pages as [Page, ...Page[]];
    await claim(first).click();
    await expect(claim(first)).toHaveText('Yours!');

    // The others all want the last two, and at this moment one gateway is gone.
    const [killed] = fleet.gateways;
    await Promise.all([killed?.stop(), ...others.map((page) => claim(page).click({ noWaitAfter: true }))]);
    fleet.balancer.leaveOut(killed?.port ?? 0);
    const meanwhile = pages.map((_, i) => `meanwhile ${i}`);
    for (const [i, page] of pages.entries()) await say(page, meanwhile[i] as string);

    for (const page of pages) {
      await expect(claim(page)).toHaveText(/^(Yours!|Sold out)$/);
      await expect.poll(() => page.evaluate(() => window.haat?.live.state.stream?.drops[0]?.left)).toBe(0);
    }
    const labels = await Promise.all(pages.map((page) => claim(page).textContent()));
    expect(labels.filter((label) => label === 'Yours!')).toHaveLength(stock);

    // Nothing is missing, nothing is there twice, and the order is the same everywhere.
    for (const page of everybody) {
      await expect.poll(async () => (await texts(page)).sort()).toEqual([...before, ...meanwhile]);
      await expect(phase(page)).toHaveAttribute('data-phase', 'live');
    }
    const order = await texts(host);
    for (const page of pages) expect(await texts(page)).toEqual(order);

    // Those on the killed one have said that they lost it and that they caught up; the others have said nothing at all.
    let lost = 0;
    for (const page of everybody) {
      const said = await told(page);
      const at = said.findIndex(([phase]) => phase === 'reconnecting');
      if (at < 0) {
        expect(said).toEqual([['live', '']]);
        continue;
      }
      lost++;
      await shot(page, 'fleet-back-phone');
      expect(said[0]).toEqual(['live', '']);
      expect(said[at]?.[1]).toBe('Reconnecting…');
      const back = said.slice(at).findIndex(([phase]) => phase === 'live');
      expect(said[at + back]?.[1]).toMatch(/^(Caught up|Back again)/);
      expect(said.slice(1, at + back).map(([phase]) => phase)).not.toContain('live');
    }
    expect(lost).toBeGreaterThan(0);
    expect(lost).toBeLessThan(everybody.length);

    // The books say the same: as many claims as there were pieces, and the money for them.
    await expect(host.getByTestId('claims')).toHaveText(String(stock));
    await expect(host.getByTestId('revenue')).toHaveText('₹5,997');
    expect(show.errors).toEqual([]);
  } finally {
    await show.close();
    await fleet.stop();
  }
});
