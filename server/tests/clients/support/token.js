// Tokens, as a backend signs them.

import { createHmac } from 'node:crypto';
import { SECRET } from './gateway.js';

const base64url = (value) => Buffer.from(value).toString('base64url');

/** A token of HS256. `claims` may overwrite everything. */
export function token(sub, claims = {}, secret = SECRET) {
  const exp = Math.floor(Date.now() / 1000) + 3600;
  const text = [{ alg: 'HS256', typ: 'JWT' }, { sub, exp, ...claims }].map((part) => base64url(JSON.stringify(part)));
  const signed = text.join('.');
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

/** A token of a stream's supplier. */
export const supplierToken = (...streams) => token('supplier', { role: 'supplier', streams, name: 'Meera' });
