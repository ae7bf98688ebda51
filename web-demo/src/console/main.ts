/** The supplier's page. */
import { mount } from 'svelte';
import { openLive } from '../lib/open';
import { learn } from '../lib/words';
import '../theme.css';
import './desk.css';
import Console from './Console.svelte';
import { Desk } from './desk';

// The connection is made while the words are on their way.
const live = openLive();
// It listens from the first event on: what is held is told right behind the join.
const desk = new Desk(live);
await learn();
mount(Console, { target: document.getElementById('app') as HTMLElement, props: { live, desk } });
