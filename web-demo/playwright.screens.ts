/** The pictures of the README: `npm run screens` writes them anew. */
import { defineConfig } from '@playwright/test';
import base from './playwright.config';

export default defineConfig({ ...base, testDir: 'screens', testMatch: '*.ts', retries: 0, reporter: 'list' });
