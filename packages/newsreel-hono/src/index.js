//! The middleware, on the package `newsreel`.

import { withNewsreel } from 'newsreel/worker';

import { middlewareOn } from './middleware.js';

export const newsreel = middlewareOn(withNewsreel);
