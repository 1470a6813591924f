import cloudflare from '@astrojs/cloudflare';
import { defineConfig } from 'astro/config';
import { cacheNewsreel } from 'newsreel-astro';

export default defineConfig({
  output: 'server',
  adapter: cloudflare({ imageService: 'passthrough' }),
  session: { driver: 'memory' },
  // Pages are kept at the edge, until a tag of theirs is purged.
  cache: { provider: cacheNewsreel() },
});
