/** The sales of a show as a file for a spreadsheet: one line for each claim, prize and return, as the ledger has them. */
import { minorDigits } from '../lib/money';
import type { Money } from '../lib/wire';
import type { LedgerRecord } from './ledger';

const kinds = ['claim', 'confirm', 'release', 'expire', 'spin'];
const heads = ['time', 'kind', 'id', 'user', 'name', 'item', 'title', 'quantity', 'price', 'total', 'currency'];

/** A cell. A text that a spreadsheet would run as a formula is kept from that. */
function cell(value: string | number): string {
  const text = typeof value === 'string' && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function line({ at, kind, data }: LedgerRecord, titleOf: (product: string) => string): string | null {
  const { id = '', user = '', quantity = 1, product = '', wheel = '', price, prize, name } = data as {
    id?: string;
    user?: string | { id: string; name?: string };
    name?: string;
    quantity?: number;
    product?: string;
    wheel?: string;
    price?: Money;
    prize?: { id: string; label: string } | null;
  };
  if (!kinds.includes(kind) || (kind === 'spin' && !prize)) return null;
  const [userId, userName] = typeof user === 'object' ? [user.id, user.name ?? ''] : [user, name ?? ''];
  const plain = (amount: number) => (price ? (amount / 10 ** minorDigits(price.currency)).toFixed(minorDigits(price.currency)) : '');
  const item = prize ? `${wheel}/${prize.id}` : product;
  const sold = price ? [plain(price.amount), plain(price.amount * quantity), price.currency] : ['', '', ''];
  const cells = [new Date(at).toISOString(), kind, id, userId, userName, item, prize?.label ?? titleOf(product), quantity, ...sold];
  return cells.map(cell).join(',');
}

/** The whole file, in the form that spreadsheets take for UTF-8. */
export async function salesFile(records: AsyncIterable<LedgerRecord>, titleOf: (product: string) => string): Promise<Blob> {
  const lines = [heads.join(',')];
  for await (const record of records) {
    const text = line(record, titleOf);
    if (text !== null) lines.push(text);
  }
  return new Blob(['\ufeff', lines.join('\r\n'), '\r\n'], { type: 'text/csv' });
}
