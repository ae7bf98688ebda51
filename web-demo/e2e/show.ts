/** The people of a live show as browser pages, and what a test asks them. */
import { type Browser, type BrowserContext, expect, type Page, test as base } from '@playwright/test';
import { fileURLToPath } from 'node:url';
import { type Door, Gateway, type Person } from './gateway';
import { Injected } from './injected';

export const phone = { width: 360, height: 640 };
export const desktop = { width: 1280, height: 800 };
const screens = fileURLToPath(new URL('./screens', import.meta.url));

export interface Look {
  viewport?: { width: number; height: number };
  colorScheme?: 'light' | 'dark';
  /** Seconds that the token holds; default an hour. */
  ttl?: number;
  /** Where the page is opened; default: at the gateway itself. */
  origin?: string;
  /** Speaks into the page's connection; see `injected.ts`. */
  inject?: (injected: Injected) => void;
  reducedMotion?: 'reduce';
  locale?: string;
  deviceScaleFactor?: number;
}

let shows = 0;

/** One stream and everybody who looks at it. */
export class Show<At extends Door = Gateway> {
  private readonly contexts: BrowserContext[] = [];
  /** Errors of any page: a policy violation, an exception. Must stay empty. */
  readonly errors: string[] = [];

  constructor(
    readonly gateway: At,
    private readonly browser: Browser,
    readonly stream = `show-${process.pid}-${++shows}`,
  ) {}

  viewer(person: Person | null, look: Look = {}): Promise<Page> {
    return this.open('/', person, look);
  }

  /** The console of the one who sells. */
  console(look: Look = {}): Promise<Page> {
    return this.open('/console.html', { sub: 'meena', name: 'Meena Textiles', role: 'supplier' }, { viewport: desktop, ...look });
  }

  /** The console of one who moderates. */
  moderator(look: Look = {}): Promise<Page> {
    return this.open('/console.html', { sub: 'kavya', name: 'Kavya', role: 'moderator' }, { viewport: desktop, ...look });
  }

  /** A console with the stream already on air. */
  async onAir(title = 'Handloom sarees from Chanderi', look: Look = {}): Promise<Page> {
    const page = await this.console(look);
    await page.getByLabel('Title', { exact: true }).fill(title);
    await page.getByRole('button', { name: 'Go live' }).click();
    await expect(page.getByTestId('stream-status')).toHaveText('LIVE');
    return page;
  }

  async close(): Promise<void> {
    for (const context of this.contexts) await context.close();
  }

  private async open(path: string, person: Person | null, look: Look): Promise<Page> {
    const { viewport = phone, colorScheme = 'light', reducedMotion, locale, deviceScaleFactor } = look;
    const context = await this.browser.newContext({
      viewport,
      colorScheme,
      ...(reducedMotion && { reducedMotion }),
      ...(locale && { locale }),
      ...(deviceScaleFactor && { deviceScaleFactor }),
    });
    this.contexts.push(context);
    if (look.inject) look.inject(await Injected.into(context));
    const page = await context.newPage();
    page.on('pageerror', (error) => this.errors.push(String(error)));
    page.on('console', (line) => {
      // What a pulled cable makes the browser say is no fault of the page.
      const isNetwork = /ERR_|WebSocket connection to|Failed to load resource/.test(line.text());
      if (line.type() === 'error' && !isNetwork) this.errors.push(line.text());
    });
    const token = person ? `token=${this.gateway.token(person, this.stream, look.ttl)}&` : '';
    await page.goto(`${look.origin ?? this.gateway.origin}${path}#${token}stream=${this.stream}`);
    return page;
  }
}

export async function say(page: Page, text: string): Promise<void> {
  const field = page.getByRole('textbox', { name: 'Say something…' });
  await field.fill(text);
  await field.press('Enter');
}

/** The texts of the chat as the page shows them, in order. */
export const texts = (page: Page) => page.getByTestId('text').allTextContents();

export const phase = (page: Page) => page.getByTestId('status');

/** A picture for looking at, with everything that comes in slowly already there. */
export const shot = (page: Page, name: string) => page.screenshot({ path: `${screens}/${name}.png`, animations: 'disabled' });

export const test = base.extend<{ show: Show }, { gateway: Gateway }>({
  gateway: [
    async ({}, use) => {
      const gateway = await Gateway.start();
      await use(gateway);
      await gateway.stop();
    },
    { scope: 'worker' },
  ],
  show: async ({ gateway, browser }, use) => {
    const show = new Show(gateway, browser);
    await use(show);
    await show.close();
    expect(show.errors).toEqual([]);
  },
});
