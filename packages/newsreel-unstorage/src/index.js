//! The driver, on the package `newsreel`.

import { EdgeCache, connect } from 'newsreel';

import { driverOn } from './driver.js';

export default driverOn({ EdgeCache, connect });
