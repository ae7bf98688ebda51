/** The parts of the console, by the names of their tabs: a phone shows one at a time, a desk all of them. */
import type { StreamState } from '../lib/wire';

export type WorkTab = 'products' | 'drops' | 'wheels' | 'polls' | 'questions' | 'say';
export type TalkTab = 'chat' | 'held' | 'log';
/** What a phone shows: the stream and its figures, the tools, or a panel of the talk. */
export type Place = 'air' | 'work' | TalkTab;

/** Questions that nobody has answered. */
export const waitingQuestions = (stream: StreamState | null) =>
  (stream?.questions ?? []).filter(({ status }) => status !== 'answered' && status !== 'hidden').length;
