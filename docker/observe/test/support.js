// What the observability of a fleet is made of, as text: the files beside this folder, and what gateways really show.

import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../../server/tests/clients/support/redis.js';
import { until } from '../../../server/tests/clients/support/wait.js';

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
export const HERE = join(ROOT, 'docker/observe');

export const read = (path) => readFileSync(join(ROOT, path), 'utf8');

/** The first groups of all matches. */
export const all = (text, pattern) => [...text.matchAll(pattern)].map(([, group]) => group);

/** The pages for alerts, by name. */
export const runbooks = () =>
  new Map(readdirSync(join(HERE, 'runbook')).map((file) => [file.replace(/\.md$/, ''), read(`docker/observe/runbook/${file}`)]));

/** The queries of the dashboard, by the panel's title, as Grafana sends them for all gateways. */
export function queries() {
  const { panels } = JSON.parse(read('docker/observe/grafana/haat.json'));
  return panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({ title, expr: expr.replaceAll('$instance', '.*').replaceAll('$__rate_interval', '30s') })),
  );
}

/** The metrics and recorded series that a text names. */
export const names = (text) => new Set(all(text, /(?<![\w:])((?:instance:)?(?:haat|process)_[a-z_]+(?::\w+)?)(?![\w:=])/g));

/** Types of metrics by name, as a gateway shows them. */
export async function shown({ side }) {
  const page = await (await fetch(`${side}/metrics`)).text();
  return new Map([...page.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name, type]) => [name, type]));
}

/** The name of the metric that a series belongs to: `a_seconds` for `a_seconds_bucket`. */
export function family(name, types) {
  const parent = name.replace(/_(bucket|sum|count)$/, '');
  return types.get(parent) === 'histogram' ? parent : name;
}

/** A real Prometheus with the fleet's configuration, but for where the gateways are. It has to be stopped. */
export async function startPrometheus(gateways) {
  const home = mkdtempSync(join(tmpdir(), 'haat-observe-'));
  const targets = gateways.map(({ side }) => `"${new URL(side).host}"`).join(', ');
  const config = read('docker/prometheus.yml')
    .replace(/scrape_interval: \w+/, 'scrape_interval: 1s')
    .replace(/evaluation_interval: \w+/, 'evaluation_interval: 1s')
    .replace(/scrape_configs:[^]*/, `scrape_configs:\n  - job_name: haat\n    static_configs:\n      - targets: [${targets}]\n`);
  writeFileSync(join(home, 'prometheus.yml'), config);
  cpSync(HERE, join(home, 'observe'), { recursive: true });
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const options = [`--config.file=${home}/prometheus.yml`, `--storage.tsdb.path=${home}/data`, `--web.listen-address=127.0.0.1:${port}`];
  const child = spawn('prometheus', [...options, '--log.level=warn'], { stdio: ['ignore', 'ignore', 'inherit'] });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const ask = async (path) => (await fetch(`${url}/api/v1/${path}`)).json();
  await until('prometheus', () => fetch(`${url}/-/ready`).then((answer) => answer.ok, () => false));
  return {
    /** What it answers to a query, with its error if there is one. */
    query: (expr) => ask(`query?query=${encodeURIComponent(expr)}`),
    /** All its rules, with their state. */
    rules: async () => (await ask('rules')).data.groups.flatMap((group) => group.rules),
    async stop() {
      child.kill('SIGKILL');
      await exited;
      rmSync(home, { recursive: true });
    },
  };
}
