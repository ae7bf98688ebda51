// Fails the build when the scripts of both pages together outgrow their budget: most viewers arrive on a phone.
import { readFileSync, readdirSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const budgetBytes = 60_000;
const folder = new URL('./dist/assets/', import.meta.url);
let total = 0;
for (const name of readdirSync(folder).filter((name) => name.endsWith('.js')).sort()) {
  const bytes = gzipSync(readFileSync(new URL(name, folder)), { level: 9 }).length;
  total += bytes;
  console.log(`${String(bytes).padStart(7)} B gzip  ${name}`);
}
console.log(`${String(total).padStart(7)} B gzip  all scripts (budget ${budgetBytes})`);
if (total === 0 || total > budgetBytes) process.exit(1);
