/** What the parts of the console share: one way to send a command, which says what went wrong; and what the ledger tells. */
import { writable } from 'svelte/store';
import type { Commands, StreamCommand } from '../lib/commands';
import type { Live } from '../lib/live';
import type { CommandError, WordAction } from '../lib/wire';
import { Activity } from './activity';
import { Held } from './held';
import { type Get, Ledger } from './ledger';
import { Prepared } from './prepared';
import { Figures } from './series';
import { Chronicle } from './story';

export interface WordList {
  words: string[];
  action: WordAction;
}

export class Desk {
  readonly ledger: Ledger;
  readonly activity: Activity;
  readonly chronicle: Chronicle;
  readonly held: Held;
  readonly figures: Figures;
  readonly prepared: Prepared;
  /** The words that are not welcome, as far as the ledger tells. */
  readonly wordList = writable<WordList | null>(null);
  /** Why the last command failed; null when one went through since. */
  readonly problem = writable<CommandError | null>(null);

  constructor(
    readonly live: Live,
    get?: Get,
  ) {
    this.ledger = new Ledger(live, get);
    this.activity = new Activity(this.ledger, live);
    this.held = new Held(live, this.ledger);
    this.ledger.listen((records) => {
      const set = records.findLast(({ kind }) => kind === 'words:set');
      if (set) this.wordList.set(set.data as unknown as WordList);
    });
    this.figures = new Figures(live);
    this.chronicle = new Chronicle(this.ledger, this.figures);
    this.prepared = new Prepared(live.streamId);
  }

  /** Sends it. Answers why it failed, if it did. */
  async run<C extends StreamCommand>(name: C, body: Commands[C]['body']): Promise<CommandError | null> {
    const reply = await this.live.command(name, body);
    const error = reply.ok ? null : reply.error;
    this.problem.set(error);
    if (error) this.activity.failed(name, error);
    // What concerns one user only is told to nobody.
    else this.ledger.soon();
    return error;
  }

  /** The server's clock, milliseconds. */
  now(): number {
    return Date.now() + this.live.state.clockSkew;
  }
}
