/** What a person would object to on a page, whatever is on it: too small to hit, covered, beyond the window, cut off. */
import { expect, type Page } from '@playwright/test';
import { shot } from './show';

export const sizes = [
  [360, 640],
  [390, 844],
  [640, 360],
  [740, 360],
  [768, 1024],
  [1366, 768],
  [1920, 1080],
] as const;

/** Runs in the page. */
export function objections(): string[] {
  const touch = 44;
  const root = document.querySelector('dialog[open]') ?? document.body;
  const found = new Set<string>();
  const nameOf = (part: Element) =>
    `${part.tagName.toLowerCase()}.${part.className} “${(part.getAttribute('aria-label') ?? part.textContent ?? '').trim().slice(0, 40)}”`;
  const isSeen = (part: Element) =>
    part.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && !part.closest('.unseen, [aria-hidden=true]');
  const clips = (part: Element) => {
    const style = getComputedStyle(part);
    return { x: style.overflowX !== 'visible', y: style.overflowY !== 'visible', style };
  };
  /** What the parts around it, and the window, leave of a box. */
  const leftOf = (part: Element) => {
    let { left, right, top, bottom } = part.getBoundingClientRect();
    for (let around = part.parentElement; around && around !== document.body; around = around.parentElement) {
      const { x, y } = clips(around);
      const box = around.getBoundingClientRect();
      if (x) [left, right] = [Math.max(left, box.left), Math.min(right, box.right)];
      if (y) [top, bottom] = [Math.max(top, box.top), Math.min(bottom, box.bottom)];
    }
    return { left: Math.max(left, 0), right: Math.min(right, innerWidth), top: Math.max(top, 0), bottom: Math.min(bottom, innerHeight) };
  };
  const canScroll = (part: Element, axis: 'x' | 'y') => {
    for (let around = part.parentElement; around; around = around.parentElement) {
      const { style } = clips(around);
      if (/auto|scroll/.test(axis === 'x' ? style.overflowX : style.overflowY)) return true;
    }
    return axis === 'y' && document.documentElement.scrollHeight > innerHeight;
  };

  if (document.documentElement.scrollWidth > innerWidth) found.add('the page runs over to the side');

  for (const control of root.querySelectorAll('button, a[href], input, select, textarea, summary')) {
    if (!isSeen(control)) continue;
    const area = control.matches('[type=checkbox]') ? (control.closest('label') ?? control) : control;
    const { left, right, top, bottom, width, height } = area.getBoundingClientRect();
    if (width < touch - 0.5 || height < touch - 0.5) found.add(`small: ${nameOf(control)} ${width.toFixed()} × ${height.toFixed()}`);
    if ((left < -1 || right > innerWidth + 1) && !canScroll(area, 'x')) found.add(`beyond the side: ${nameOf(control)}`);
    if ((top < -1 || bottom > innerHeight + 1) && !canScroll(area, 'y')) found.add(`beyond the window: ${nameOf(control)}`);
    const seen = leftOf(control);
    if (seen.right - seen.left < 2 || seen.bottom - seen.top < 2) continue;
    const hit = document.elementFromPoint((seen.left + seen.right) / 2, (seen.top + seen.bottom) / 2);
    const isFree = hit && (control.contains(hit) || area.contains(hit));
    // What is fixed above a page that scrolls may be scrolled away from.
    if (!isFree && !(hit && canScroll(area, 'y') && hit.closest('header'))) found.add(`covered: ${nameOf(control)} by ${hit && nameOf(hit)}`);
  }

  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  while (texts.nextNode()) {
    const text = texts.currentNode;
    const part = text.parentElement;
    if (!part || !text.nodeValue?.trim() || part.closest('svg, option, textarea, .unseen') || !isSeen(part)) continue;
    range.selectNodeContents(text);
    const { left, right, top, bottom } = range.getBoundingClientRect();
    let [goesX, goesY] = [true, true];
    for (let around: Element | null = part; around && around !== document.documentElement; around = around.parentElement) {
      const { style } = clips(around);
      const box = around.getBoundingClientRect();
      // A title may end in dots, and what scrolls can be read.
      if (style.textOverflow === 'ellipsis' || /auto|scroll/.test(style.overflowX)) goesX = false;
      if (style.webkitLineClamp !== 'none' || /auto|scroll/.test(style.overflowY)) goesY = false;
      const isButton = around.tagName === 'BUTTON';
      if (goesX && (isButton || style.overflowX !== 'visible') && (left < box.left - 1 || right > box.right + 1))
        found.add(`cut off at the side: ${nameOf(part)}`);
      if (goesY && (isButton || style.overflowY !== 'visible') && (top < box.top - 3 || bottom > box.bottom + 3))
        found.add(`cut off: ${nameOf(part)}`);
    }
  }
  return [...found];
}

/** Looks at a page in every size, by day and by night, and has nothing to object to. A picture of each is left for people to look at. */
export async function lookAt(page: Page, name: string, only: readonly (readonly [number, number])[] = sizes): Promise<void> {
  for (const [i, [width, height]] of only.entries()) {
    const at = `${name}-${width}x${height}`;
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme: i % 2 ? 'dark' : 'light' });
    // Two frames: what is chosen by the window's size is there.
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    await shot(page, at);
    expect.soft(await page.evaluate(objections), at).toEqual([]);
  }
}
