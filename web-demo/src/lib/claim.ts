/** What a drop's button says, and what stands below it: every outcome of a claim, in one place. */
import type { Attempt } from './attempts';
import type { DropPhase } from './offer';
import type { Words } from './text.en';
import type { Drop } from './wire';

export interface ClaimView {
  label: string;
  enabled: boolean;
  /** What more there is to say; empty where the label says it all. */
  note: string;
  tone: 'plain' | 'good' | 'bad';
}

/** Refusals after which another tap cannot help. */
const final = new Set(['sold_out', 'closed', 'limit_reached', 'ended', 'banned']);

export function claimView(
  drop: Drop,
  phase: DropPhase,
  attempt: Attempt<unknown> | undefined,
  { title, guest, error }: { title: string; guest: boolean; error: string },
  words: Words,
): ClaimView {
  const { offer } = words;
  const times = attempt?.times ?? 0;
  const mine = times ? offer.gotNote(title, times) : '';
  const say = (label: string, note = '', tone: ClaimView['tone'] = 'plain', enabled = false) => ({ label, note, tone, enabled });
  if (attempt?.state === 'asking') return say(offer.claiming);
  if (attempt?.state === 'unknown') return say(words.tryAgain, offer.unknown, 'bad', true);
  if (attempt?.state === 'refused' && attempt.error?.code === 'limit_reached')
    return say(times ? offer.got : offer.limit, mine || offer.limit, times ? 'good' : 'plain');
  if (times) {
    const more = phase === 'open' && times < drop.perUser;
    return more ? say(offer.another, mine, 'good', true) : say(offer.got, mine, 'good');
  }
  if (guest && (phase === 'open' || phase === 'soon')) return say(offer.claim, offer.guest);
  if (phase === 'gone') return say(offer.gone, attempt?.state === 'refused' ? offer.goneNote : '');
  if (phase === 'closed') return say(offer.over, offer.overNote);
  if (phase === 'paused') return say(offer.pausedLabel, offer.pausedNote);
  if (attempt?.state === 'refused') {
    if (attempt.error?.code === 'sold_out') return say(offer.gone, offer.goneNote);
    return final.has(attempt.error?.code ?? '') ? say(offer.over, error) : say(words.tryAgain, error, 'bad', true);
  }
  return say(offer.claim, '', 'plain', phase === 'open');
}
