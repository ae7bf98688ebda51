/** The supplier's page. */
import { mount } from 'svelte';
import { openLive } from '../lib/open';
import '../theme.css';
import Console from './Console.svelte';

mount(Console, { target: document.getElementById('app') as HTMLElement, props: { live: openLive() } });
