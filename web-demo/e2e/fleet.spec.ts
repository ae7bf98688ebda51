/**
 * Two gateways on one Redis behind a balancer that is not sticky, and the pages of a show on both. One gateway is killed while
 * people claim: whoever was on it is told so, comes back to the other one, and misses nothing; nobody gets what is not there.
 */
import { expect, type Page } from '@playwright/test';
import { type Fleet, missing, startFleet } from '../../server/tests/clients/support/fleet.js';
import { demo, mint, type Person, secret } from './gateway';
import { addProduct, prepareDrop } from './selling';
import { phase, say, Show, shot, test, texts } from './show';

const people: Person[] = ['Asha Rao', 'Ravi Kumar', 'Fatima S', 'Kiran Joshi', 'Leela Menon', 'Om Prakash'].map((name) => ({
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

interface Member {
  page: Page;
  /** The gateway that it is on. */
  home: number;
}

/** Opens a page, and finds out by the count of connections which gateway it came to. */
async function seat(fleet: Fleet, open: () => Promise<Page>): Promise<Member> {
  const before = await sessions(fleet);
  const page = await open();
  let home = -1;
  await expect
    .poll(async () => (home = (await sessions(fleet)).findIndex((count, i) => count > (before[i] ?? 0))))
    .toBeGreaterThanOrEqual(0);
  return { page, home };
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

    const members: Member[] = [];
    for (const person of people) {
      const member = await seat(fleet, () => show.viewer(person));
      await expect(phase(member.page)).toHaveAttribute('data-phase', 'live');
      members.push(member);
      if ([0, 1].every((home) => members.filter((one) => one.home === home).length > 1)) break;
      // The balancer takes turns: one request more, and the next page comes to the other one.
      if (member.home === members.at(-2)?.home) await fetch(fleet.url);
    }
    const of = (home: number) => members.filter((member) => member.home === home).map(({ page }) => page);
    const [dying, staying] = [of(0), of(1)] as [Page[], Page[]];
    for (const some of [dying, staying]) expect(some.length).toBeGreaterThan(1);
    const pages = members.map(({ page }) => page);
    for (const page of pages) await listen(page);

    await say(dying[0] as Page, 'before, from one');
    await expect.poll(() => texts(staying[0] as Page)).toEqual(['before, from one']);
    await say(staying[0] as Page, 'before, from the other');
    for (const page of [host, ...pages]) await expect.poll(() => texts(page)).toHaveLength(2);

    await host.getByRole('button', { name: 'Open now' }).click();
    for (const page of pages) await expect(claim(page)).toBeEnabled();
    await claim(staying[0] as Page).click();
    await expect(claim(staying[0] as Page)).toHaveText('Yours!');

    // The others all want the last two, and at this moment one gateway is gone.
    const others = pages.filter((page) => page !== staying[0]);
    const [killed] = fleet.gateways;
    await Promise.all([killed?.stop(), ...others.map((page) => claim(page).click({ noWaitAfter: true }))]);
    fleet.balancer.leaveOut(killed?.port ?? 0);
    await say(staying[0] as Page, 'in between');
    await say(dying[0] as Page, 'written meanwhile');

    for (const page of pages) {
      await expect(claim(page)).toHaveText(/^(Yours!|Sold out)$/);
      await expect.poll(() => page.evaluate(() => window.haat?.live.state.stream?.drops[0]?.left)).toBe(0);
      await expect(phase(page)).toHaveAttribute('data-phase', 'live');
    }
    const labels = await Promise.all(pages.map((page) => claim(page).textContent()));
    expect(labels.filter((label) => label === 'Yours!')).toHaveLength(stock);

    const all = ['before, from one', 'before, from the other', 'in between', 'written meanwhile'];
    for (const page of [host, ...pages]) await expect.poll(async () => (await texts(page)).sort()).toEqual(all);
    const order = await texts(host);
    for (const page of pages) expect(await texts(page)).toEqual(order);
    await shot(dying[0] as Page, 'fleet-back-phone');

    // What the pages said: those on the killed one that they lost it and have caught up, the others nothing.
    for (const page of dying) {
      const said = await told(page);
      const phases = said.map(([name]) => name);
      expect(phases[0]).toBe('live');
      expect(phases).toContain('reconnecting');
      expect(phases.at(-1)).toBe('live');
      const lost = phases.indexOf('reconnecting');
      expect(said[lost]?.[1]).toBe('Reconnecting…');
      expect(said.slice(lost).some(([name, text]) => name === 'live' && /^(Caught up|Back again)/.test(text))).toBe(true);
    }
    for (const page of staying) expect((await told(page)).map(([name]) => name)).toEqual(['live']);

    // The books say the same: as many claims as there were pieces, and the money for them.
    await expect(host.getByTestId('claims')).toHaveText(String(stock));
    await expect(host.getByTestId('revenue')).toHaveText('₹5,997');
    expect(show.errors).toEqual([]);
  } finally {
    await show.close();
    await fleet.stop();
  }
});
