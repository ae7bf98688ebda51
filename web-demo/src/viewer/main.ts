/** The viewer's page. */
import { mount } from 'svelte';
import { openLive } from '../lib/open';
import { learn } from '../lib/words';
import '../theme.css';
import Viewer from './Viewer.svelte';

// The connection is made while the words are on their way.
const live = openLive();
await learn();
mount(Viewer, { target: document.getElementById('app') as HTMLElement, props: { live } });
