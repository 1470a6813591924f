import cloudflare from '@astrojs/cloudflare';
import { defineConfig } from 'astro/config';
import { cacheNewsreel } from 'newsreel-astro';

export default defineConfig({
  output: 'server',
  adapter: cloudflare({ imageService: 'passthrough' }),
  session: { driver: 'memory' },
  cache: { provider: cacheNewsreel() },
  security: { checkOrigin: false },
});
