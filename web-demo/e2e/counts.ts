/** Closes a run with one line that a program can read: how many passed, failed, needed another try (flaky) and were skipped. */
import type { Reporter, Suite } from '@playwright/test/reporter';

export default class Counts implements Reporter {
  private suite: Suite | undefined;

  onBegin(_config: unknown, suite: Suite): void {
    this.suite = suite;
  }

  onEnd(): void {
    const count = { expected: 0, unexpected: 0, flaky: 0, skipped: 0 };
    for (const test of this.suite?.allTests() ?? []) {
      // A test that the run never came to is no success.
      count[test.results.length ? test.outcome() : 'unexpected']++;
    }
    const more = (['flaky', 'skipped'] as const).map((kind) => (count[kind] ? `, ${count[kind]} ${kind}` : ''));
    console.log(`\n${count.expected} passed, ${count.unexpected} failed${more.join('')}`);
  }
}
