/**
 * Speaks to a page in the middle of its connection to a real gateway: events that are hard to bring about, or too many to do so
 * honestly, and answers to single commands. Everything else goes through untouched.
 */
import type { BrowserContext, WebSocketRoute } from '@playwright/test';

type Answer = (body: Record<string, unknown>) => unknown;

export class Injected {
  private readonly routes = new Set<WebSocketRoute>();
  private readonly answers = new Map<string, Answer>();
  /** Commands that were answered here. */
  readonly asked: { command: string; body: Record<string, unknown> }[] = [];

  /** Before the context's first page is opened. */
  static async into(context: BrowserContext): Promise<Injected> {
    const injected = new Injected();
    await context.routeWebSocket(/socket\.io/, (page) => injected.carry(page));
    return injected;
  }

  /** Says it to every page of the context, as if the gateway did. */
  say(event: string, body: object): void {
    for (const route of this.routes) route.send(`42${JSON.stringify([event, body])}`);
  }

  /** Answers that command from now on; nothing (`undefined`) is no answer. */
  answer(command: string, answer: Answer): void {
    this.answers.set(command, answer);
  }

  private carry(page: WebSocketRoute): void {
    this.routes.add(page);
    const gateway = page.connectToServer();
    gateway.onMessage((message) => page.send(message));
    page.onMessage((message) => {
      const event = /^42(\d+)(\[.*\])$/s.exec(String(message));
      const [command, body] = event ? (JSON.parse(event[2] ?? '') as [string, Record<string, unknown>]) : ['', {}];
      const answer = this.answers.get(command);
      if (!answer || !event) return void gateway.send(message);
      this.asked.push({ command, body });
      const reply = answer(body);
      if (reply !== undefined) page.send(`43${event[1]}${JSON.stringify([reply])}`);
    });
  }
}
