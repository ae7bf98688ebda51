import { fileURLToPath } from 'node:url';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

const page = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const viewerPage: Record<string, string> = { viewer: page('index.html') };
const consolePage: Record<string, string> = { console: page('console.html') };

/** `--mode console` builds the console's page, else it is the viewer's: what only the other one needs is no weight of it. */
export default defineConfig(({ mode }) => ({
  plugins: [svelte()],
  // Relative addresses: the pages work from any folder the gateway serves them in.
  base: './',
  build: {
    target: 'es2022',
    // The viewer's page is built first.
    emptyOutDir: mode !== 'console',
    // The inline polyfill would break the gateway's content security policy.
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: mode === 'console' ? consolePage : viewerPage,
      output: { chunkFileNames: 'assets/[name]-[hash].js' },
    },
  },
  server: {
    host: '127.0.0.1',
    proxy: {
      '/socket.io': { target: 'http://127.0.0.1:3000', ws: true },
      '/v1': 'http://127.0.0.1:3000',
    },
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
}));
