import type { NextConfig } from 'next';

/**
 * Returns the configuration with Newsreel's handlers in it: of pages and `fetch`, and of `'use cache'`. The handlers take
 * their settings from the environment, by the names in the README.
 */
export declare function withNewsreel<Config extends NextConfig>(config?: Config): Config;
