/** What a person should be told about the connection right now. Nothing, when all is well. */
import type { LiveState } from './live';
import type { Words } from './text.en';

export interface Status {
  /** busy: it will pass · good: news · calm: a fact · bad: needs the person */
  tone: 'busy' | 'good' | 'calm' | 'bad';
  text: string;
  canWatchAsGuest?: boolean;
  canTryAgain?: boolean;
}

/** `timeOf` writes a time of day. */
export function statusOf(state: LiveState, words: Words, online: boolean, timeOf: (at: number) => string): Status | null {
  const { phase } = words;
  switch (state.phase) {
    case 'connecting':
    case 'reconnecting':
      if (!online) return { tone: 'busy', text: phase.offline };
      if (state.phase === 'connecting') return { tone: 'busy', text: phase.connecting };
      return { tone: 'busy', text: state.moving ? phase.moving : phase.reconnecting };
    case 'expired':
      return { tone: 'bad', text: phase.expired, canWatchAsGuest: true };
    case 'refused':
      return { tone: 'bad', text: phase.refused, canWatchAsGuest: !state.guest, canTryAgain: true };
    case 'banned':
      return { tone: 'bad', text: bannedText(state, words, timeOf) };
    default:
      break;
  }
  // Without seconds: a screen reader would read every one of them.
  if (state.closesAt !== null) return { tone: 'bad', text: phase.expiring, canWatchAsGuest: true };
  if (state.behind) return { tone: 'busy', text: phase.behind };
  if (state.caughtUp !== null) return { tone: 'good', text: phase.caughtUp(state.caughtUp) };
  if (state.phase === 'waiting') return { tone: 'calm', text: phase.waiting };
  if (state.phase === 'ended') return { tone: 'calm', text: phase.ended };
  return null;
}

function bannedText({ banned }: LiveState, words: Words, timeOf: (at: number) => string): string {
  const { phase } = words;
  const text = banned?.until == null ? phase.banned : phase.bannedUntil(timeOf(banned.until));
  return banned?.reason ? `${text} ${words.reason(banned.reason)}` : text;
}
