import { cloudflare } from '@cloudflare/vite-plugin';
import { newsreelDataAdapter } from 'newsreel-vinext';
import vinext from 'vinext';
import { defineConfig } from 'vite';

export default defineConfig({
  plugins: [
    vinext({ cache: { data: newsreelDataAdapter() } }),
    cloudflare({ viteEnvironment: { name: 'rsc', childEnvironments: ['ssr'] } }),
  ],
});
