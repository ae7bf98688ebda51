/** What axe objects to on a page. */
import AxeBuilder from '@axe-core/playwright';
import type { Page } from '@playwright/test';

export async function findings(page: Page): Promise<string[]> {
  // What still comes in is half transparent, and would be judged so.
  await page.evaluate(() =>
    Promise.all(
      document
        .getAnimations()
        // What runs for ever, and what runs as one scrolls, never ends.
        .filter(({ effect, timeline }) => effect?.getComputedTiming().iterations !== Infinity && timeline === document.timeline)
        .map(({ finished }) => finished),
    ),
  );
  const { violations } = await new AxeBuilder({ page }).analyze();
  return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.target.join(' ')}: ${node.failureSummary}`));
}
