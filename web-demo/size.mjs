// Fails the build when what a page loads before it works outgrows its budget: most viewers arrive on a phone.
// Of the languages it loads one; what lies on top of the show comes behind.
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const budgets = { 'index.html': 60_000, 'console.html': 75_000 };
const folder = new URL('./dist/', import.meta.url);
const read = (name) => readFileSync(new URL(name, folder), 'utf8');
const sizeOf = (name) => gzipSync(read(name), { level: 9 }).length;

/** The scripts that this one imports; `kind` is how. */
const imports = (name, kind) => [...read(name).matchAll(kind)].map((found) => `assets/${found[1]}`);
const withImports = (name, seen = new Set()) => {
  if (seen.has(name)) return seen;
  seen.add(name);
  for (const next of imports(name, /(?:from|import)\s*["'`]\.\/([\w.-]+\.js)["'`]/g)) withImports(next, seen);
  return seen;
};

const sum = (names) => names.reduce((total, name) => total + sizeOf(name), 0);
let failed = false;
for (const [page, budget] of Object.entries(budgets)) {
  const entries = [...read(page).matchAll(/(?:src|href)="\.\/(assets\/[\w.-]+\.js)"/g)].map((found) => found[1]);
  const scripts = new Set(entries.flatMap((entry) => [...withImports(entry)]));
  const lazy = new Set([...scripts].flatMap((name) => imports(name, /import\(\s*["'`]\.\/([\w.-]+\.js)["'`]/g)));
  const languages = ['en', 'hi'].map((code) => sum([...lazy].filter((name) => name.includes(`text.${code}-`))));
  const later = [...lazy].flatMap((name) => [...withImports(name)]).filter((name) => !scripts.has(name) && !/text\.\w+-/.test(name));
  const total = sum([...scripts]) + Math.max(...languages);
  const behind = later.length ? `, ${sum(later)} B behind it` : '';
  console.log(`${String(total).padStart(7)} B gzip  ${page} in one of ${languages.length} languages (budget ${budget})${behind}`);
  failed ||= scripts.size === 0 || languages.includes(0) || total > budget;
}
if (failed) process.exit(1);
