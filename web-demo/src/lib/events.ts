/** Every event that these pages listen to. Types only. Where the promise leaves open whether an id or the object comes, both may. */
import type {
  ChatMessage,
  ChatMode,
  CommandError,
  Drop,
  HeldMessage,
  Person,
  Poll,
  Prize,
  Product,
  Question,
  StreamState,
  Wheel,
} from './wire';

/** What one stream's members get: `seq` where every one counts, none where only the newest does. */
interface About {
  stream: string;
  seq?: number;
}

interface WithState {
  stream?: string;
  seq?: number;
  state: StreamState;
}

export interface Events {
  'chat:message': ChatMessage;
  'chat:deleted': About & { message: string; by?: string | Pick<Person, 'id' | 'name'> };
  'chat:pinned': About & { message: ChatMessage | null };
  'chat:mode': About & ChatMode & { mode?: ChatMode };
  'chat:held': { stream: string; message: HeldMessage };
  viewers: { stream: string; count: number };
  reactions: { stream: string; totals: Record<string, number>; added: Record<string, number> };
  'stream:started': WithState;
  'stream:updated': WithState;
  'stream:ended': WithState;
  'stream:reset': { stream: string; epoch: string | number; reason: string };
  products: About & { products: Product[] };
  'product:pinned': About & { product: Product | string | null };
  'drop:opened': About & { drop: Drop };
  'drop:stock': About & { drop: string; left: number };
  'drop:closed': About & { drop: string | Drop; sold?: number };
  'wheel:opened': About & { wheel: Wheel };
  'wheel:closed': About & { wheel: string | Wheel; seed?: string };
  'wheel:won': About & { wheel: string; user: Pick<Person, 'id' | 'name'>; prize: Prize };
  'poll:opened': About & { poll: Poll };
  'poll:tally': About & { poll: string; tally: number[]; votes: number };
  'poll:closed': About & { poll: string | Poll; tally?: number[]; votes?: number };
  'question:asked': About & { question: Question };
  'question:updated': About & { question: Question };
  purchase: About & { user: { name: string }; product: string | Product; quantity: number };
  notice: About & { text: string };
  'user:muted': { stream: string; until?: number | null; reason?: string };
  'user:banned': { stream: string; until?: number | null; reason?: string };
  'token:expired': object | undefined;
  'server:draining': { reconnectWithinMs: number };
  'error:command': { command: string; error: CommandError };
}

export type EventName = keyof Events;
