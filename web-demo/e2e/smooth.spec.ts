/**
 * Fast shows. What a frame costs is bounded by how much is in the page and on the canvas: that is what is tested. How long the
 * frames took on this machine is printed and never decides.
 */
import { expect, type Page } from '@playwright/test';
import { fullShow } from './full';
import { maxFloats } from '../src/lib/floats';
import { test } from './show';

/** Counts frames until told to stop, then says how late they came, and how much of the time scripts took. */
async function frames(page: Page): Promise<() => Promise<string>> {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Performance.enable');
  const spent = async () => {
    const { metrics } = await cdp.send('Performance.getMetrics');
    const of = (name: string) => metrics.find((metric) => metric.name === name)?.value ?? 0;
    return { at: of('Timestamp'), script: of('ScriptDuration'), layout: of('LayoutDuration') + of('RecalcStyleDuration') };
  };
  const before = await spent();
  await page.evaluate(() => {
    const all: number[] = [];
    let last = performance.now();
    const next = (now: number) => {
      all.push(now - last);
      last = now;
      if (!('done' in all)) requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
    Object.assign(window, { frames: all });
  });
  return async () => {
    const after = await spent();
    const share = (name: 'script' | 'layout') =>
      `${(((after[name] - before[name]) / (after.at - before.at)) * 100).toFixed(1)} % ${name}`;
    const late = await page.evaluate(() => {
      const all = (window as unknown as { frames: number[] & { done?: true } }).frames;
      all.done = true;
      const sorted = [...all].sort((a, b) => a - b);
      const at = (share: number) => (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(1);
      return `${all.length} frames, median ${at(0.5)} ms, p95 ${at(0.95)} ms, longest ${at(0.9999)} ms`;
    });
    return `${late}; of the time ${share('script')}, ${share('layout')}`;
  };
}

test('fifty messages a second stay a short list', async ({ show }) => {
  const { page, tell } = await fullShow(show);
  const stop = await frames(page);
  const [perSecond, seconds] = [50, 10];
  for (let i = 1; i <= perSecond * seconds; i++) {
    const user = { id: `u${i % 40}`, name: `Viewer ${i % 40}`, role: 'viewer' };
    tell('chat:message', { id: `m${i}`, seq: 1000 + i, at: Date.now(), user, text: `message ${i} of a busy show` });
    if (i % 5 === 0) await new Promise((next) => setTimeout(next, 5000 / perSecond));
  }
  await expect(page.getByText(`message ${perSecond * seconds} of a busy show`)).toBeInViewport();
  console.log(`    50 messages/s: ${await stop()}`);
  expect(await page.getByTestId('message').count()).toBeLessThanOrEqual(80);
  // Nor does it grow under a reader who has scrolled up.
  await page.getByRole('log').hover();
  await page.mouse.wheel(0, -600);
  await expect(page.getByTestId('latest')).toBeVisible();
  const before = await page.getByTestId('message').count();
  for (let i = 1; i <= 200; i++) {
    const user = { id: 'u1', name: 'Viewer', role: 'viewer' };
    tell('chat:message', { id: `n${i}`, seq: 5000 + i, at: Date.now(), user, text: `late ${i}` });
  }
  await expect(page.getByTestId('latest')).toHaveText(/200 new messages/);
  expect(await page.getByTestId('message').count()).toBe(before);
  await page.getByTestId('latest').click();
  await expect(page.getByText('late 200')).toBeInViewport();
});

test('a thousand reactions a second are counted, and drawn as a few', async ({ show }) => {
  const { page, tell } = await fullShow(show);
  const stop = await frames(page);
  const nodes = () => page.evaluate(() => document.querySelectorAll('*').length);
  const before = await nodes();
  await page.evaluate(() => {
    const counted = { now: 0, most: 0, all: 0 };
    const draw = CanvasRenderingContext2D.prototype.drawImage;
    CanvasRenderingContext2D.prototype.drawImage = function (...args: unknown[]) {
      counted.all++;
      // What is drawn in one frame is drawn at one time.
      if (!counted.now++) queueMicrotask(() => (counted.now = 0));
      counted.most = Math.max(counted.most, counted.now);
      Reflect.apply(draw, this, args);
    };
    Object.assign(window, { counted });
  });
  let total = 0;
  for (let tick = 0; tick < 40; tick++) {
    total += 250;
    tell('reactions', { totals: { heart: total }, added: { heart: 250 } });
    await new Promise((next) => setTimeout(next, 250));
  }
  // What a frame costs: so many pictures on one canvas at most, and no nodes.
  const { most, all } = await page.evaluate(() => (window as unknown as { counted: { most: number; all: number } }).counted);
  expect(all).toBeGreaterThan(0);
  expect(most).toBeLessThanOrEqual(maxFloats);
  expect((await nodes()) - before).toBeLessThanOrEqual(20);
  await expect(page.getByTestId('reactions')).toHaveAttribute('data-count', String(total));
  console.log(`    1,000 reactions/s: ${await stop()}`);
});
