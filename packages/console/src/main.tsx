/** The page's entry: puts the console into it. */

import { render } from 'preact';

import { App } from './app.js';
import './style.css';

const root = document.getElementById('app');
if (root) render(<App />, root);
