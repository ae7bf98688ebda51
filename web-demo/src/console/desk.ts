/** What the parts of the console share: one way to send a command, which says what went wrong and notes what was done. */
import { writable } from 'svelte/store';
import type { Commands, StreamCommand } from '../lib/commands';
import type { Live } from '../lib/live';
import type { CommandError } from '../lib/wire';
import { Activity, type What } from './activity';
import { Held } from './held';
import { Prepared } from './prepared';
import { Figures } from './series';

/** Commands whose effect no event tells everybody. */
const noted: Partial<Record<StreamCommand, What>> = {
  'user:mute': 'muted',
  'user:unmute': 'unmuted',
  'user:ban': 'banned',
  'user:unban': 'unbanned',
  'chat:approve': 'approved',
  'chat:reject': 'rejected',
  'words:set': 'words',
  'question:answer': 'answered',
  'question:hide': 'questionHidden',
};

export class Desk {
  readonly activity: Activity;
  readonly held: Held;
  readonly figures: Figures;
  readonly prepared: Prepared;
  /** Why the last command failed; null when one went through since. */
  readonly problem = writable<CommandError | null>(null);

  constructor(readonly live: Live) {
    this.activity = new Activity(live);
    this.held = new Held(live);
    this.figures = new Figures(live);
    this.prepared = new Prepared(live.streamId);
  }

  /** Sends it. Answers why it failed, if it did; `about` is for the log. */
  async run<C extends StreamCommand>(name: C, body: Commands[C]['body'], about = ''): Promise<CommandError | null> {
    const reply = await this.live.command(name, body);
    const error = reply.ok ? null : reply.error;
    this.problem.set(error);
    const what = noted[name];
    const { user } = body as { user?: string };
    const isSanction = name === 'user:mute' || name === 'user:ban';
    if (error) this.activity.note('failed', name, { error });
    else if (what) this.activity.note(what, about || user || '', isSanction && user ? { user } : {});
    return error;
  }

  /** The server's clock, milliseconds. */
  now(): number {
    return Date.now() + this.live.state.clockSkew;
  }
}
