/** How money is written. Amounts come in the currency's smallest unit, and how many of them make one differs by currency. */
import type { Money } from './wire';

const formats = new Map<string, Intl.NumberFormat>();

function format(language: string, currency: string): Intl.NumberFormat {
  const key = `${language} ${currency}`;
  let known = formats.get(key);
  if (!known) {
    known = new Intl.NumberFormat(`${language}-IN`, { style: 'currency', currency });
    formats.set(key, known);
  }
  return known;
}

/** How many digits stand behind the point. */
export function minorDigits(currency: string): number {
  try {
    return format('en', currency).resolvedOptions().maximumFractionDigits ?? 2;
  } catch {
    return 2;
  }
}

/** `₹499`, `₹1,20,000.50`; a currency that nobody knows stands before the number. */
export function formatMoney({ amount, currency }: Money, language: string): string {
  const value = amount / 10 ** minorDigits(currency);
  try {
    return format(language, currency).format(value).replace(/\.00$/, '');
  } catch {
    return `${currency} ${value.toLocaleString('en-IN')}`;
  }
}

/** What a person typed as a price, in the smallest unit; null when it is none. */
export function parseMoney(text: string, currency: string): number | null {
  const plain = text.replaceAll(',', '').trim();
  if (!/^\d+(\.\d+)?$/.test(plain)) return null;
  const amount = Math.round(Number(plain) * 10 ** minorDigits(currency));
  return Number.isSafeInteger(amount) ? amount : null;
}

/** A price as a person would type it. */
export const plainMoney = ({ amount, currency }: Money) => String(amount / 10 ** minorDigits(currency));

/** An address that a page may load or open: https or a path of this site, never a script. */
export function safeUrl(url: string | undefined): string | undefined {
  if (!url) return undefined;
  try {
    const { protocol, origin } = new URL(url, location.href);
    return protocol === 'https:' || origin === location.origin ? url : undefined;
  } catch {
    return undefined;
  }
}
