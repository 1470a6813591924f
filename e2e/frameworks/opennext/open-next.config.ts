import { defineCloudflareConfig } from '@opennextjs/cloudflare';
import memoryQueue from '@opennextjs/cloudflare/overrides/queue/memory-queue';
import incrementalCache from 'newsreel-opennext/incremental-cache';
import tagCache from 'newsreel-opennext/tag-cache';

export default defineCloudflareConfig({ incrementalCache, tagCache, queue: memoryQueue });
