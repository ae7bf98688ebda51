/** The supplier's page. */
import { mount } from 'svelte';
import { openLive } from '../lib/open';
import { learn } from '../lib/words';
import '../theme.css';
import './desk.css';
import Console from './Console.svelte';

// The connection is made while the words are on their way.
const live = openLive();
await learn();
mount(Console, { target: document.getElementById('app') as HTMLElement, props: { live } });
