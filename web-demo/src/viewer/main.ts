/** The viewer's page. */
import { mount } from 'svelte';
import { openLive } from '../lib/open';
import '../theme.css';
import Viewer from './Viewer.svelte';

mount(Viewer, { target: document.getElementById('app') as HTMLElement, props: { live: openLive() } });
