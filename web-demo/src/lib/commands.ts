/** Every command that these pages send: its body, but for the stream, and what a good reply adds. Types only. */
import type {
  ChatMessage,
  ChatMode,
  Drop,
  DropPlan,
  Money,
  Person,
  Poll,
  PollPlan,
  Prize,
  Product,
  Question,
  Stats,
  StreamState,
  Wheel,
  WheelPlan,
  WordAction,
} from './wire';

interface Command<Body, Adds = object> {
  body: Body;
  reply: Adds;
}

type Nothing = Record<never, never>;

export interface StreamCommands {
  'stream:join': Command<{ history?: number }, { state: StreamState; me: Person; history: ChatMessage[] }>;
  'stream:leave': Command<Nothing>;
  'stream:history': Command<{ before?: number; limit?: number }, { messages: ChatMessage[] }>;
  'stream:start': Command<{ title?: string; products?: Product[] }, { state: StreamState }>;
  'stream:update': Command<{ title?: string; products?: Product[] }, { state: StreamState }>;
  'stream:end': Command<Nothing, { state: StreamState }>;
  'stream:stats': Command<Nothing, { stats: Stats }>;
  'chat:send': Command<{ text: string; clientId?: string; replyTo?: string }, { message?: ChatMessage; held?: boolean }>;
  'chat:delete': Command<{ message: string }>;
  'chat:pin': Command<{ message: string }>;
  'chat:unpin': Command<{ message: string }>;
  'chat:mode': Command<ChatMode>;
  'chat:approve': Command<{ message: string }>;
  'chat:reject': Command<{ message: string }>;
  'words:set': Command<{ words: string[]; action: WordAction }>;
  'user:mute': Command<{ user: string; seconds?: number; reason?: string }>;
  'user:unmute': Command<{ user: string }>;
  'user:ban': Command<{ user: string; seconds?: number; reason?: string }>;
  'user:unban': Command<{ user: string }>;
  'reaction:send': Command<{ kind: string; count?: number }, { accepted: number }>;
  'question:ask': Command<{ text: string }, { question: Question }>;
  'question:upvote': Command<{ question: string }, { question: Question }>;
  'question:answer': Command<{ question: string; text?: string }>;
  'question:hide': Command<{ question: string }>;
  'poll:vote': Command<{ poll: string; option: number }, { tally: number[] }>;
  'poll:open': Command<{ poll: PollPlan }, { poll: Poll }>;
  'poll:close': Command<{ poll: string }, { poll: Poll }>;
  'drop:claim': Command<{ drop: string; quantity?: number; requestId?: string }, { claim: Claim; left: number }>;
  'drop:open': Command<{ drop: DropPlan }, { drop: Drop }>;
  'drop:close': Command<{ drop: string }, { drop: Drop }>;
  'wheel:spin': Command<{ wheel: string; requestId?: string }, { spin: Spin; spinsLeft: number }>;
  'wheel:open': Command<{ wheel: WheelPlan }, { wheel: Wheel }>;
  'wheel:close': Command<{ wheel: string }, { wheel: Wheel }>;
  'product:put': Command<{ product: Product }>;
  'product:remove': Command<{ product: string }>;
  'product:pin': Command<{ product: string }>;
  'product:unpin': Command<Nothing>;
  'notice:send': Command<{ text: string }>;
}

/** The commands that are about no stream. */
export interface OwnCommands {
  'auth:refresh': Command<{ token: string }>;
}

export interface Claim {
  id: string;
  drop: string;
  quantity: number;
  /** The price of one. */
  price: Money;
  at: number;
}

export interface Spin {
  id: string;
  prize: Prize | null;
}

export type Commands = StreamCommands & OwnCommands;
export type StreamCommand = keyof StreamCommands;
export type CommandName = keyof Commands;
export type ReplyTo<C extends CommandName> = Commands[C]['reply'];
