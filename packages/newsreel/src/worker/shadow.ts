/**
 * Shadow mode: the handler answers as before, and behind its answer Newsreel is asked for the same page. What it would have
 * served is compared and reported. No visitor notices.
 */

import { unpack } from './kept.js';
import type { ShadowOptions, ShadowReport } from './options.js';
import type { Visit } from './visit.js';

/** Answers by the handler, and compares behind the answer. */
export async function compare<Env>(visit: Visit<Env>, options: true | ShadowOptions<Env>): Promise<Response> {
  const { sample = 1, report = log }: ShadowOptions<Env> = options === true ? {} : options;
  const began = performance.now();
  const response = await visit.plain();
  if (Math.random() >= sample || response.status !== 200 || visit.request.method !== 'GET') return response;
  // A part of a page, or a page that the visitor has, is not the whole that would be kept.
  if (visit.request.headers.has('Range') || !response.body) return response;
  const servedMs = performance.now() - began;
  const copy = response.clone();
  visit.context.waitUntil(judge(visit, copy, servedMs).then(report, () => undefined));
  return response;
}

async function judge<Env>(visit: Visit<Env>, served: Response, servedMs: number): Promise<ShadowReport> {
  const { key } = visit.page;
  const began = performance.now();
  try {
    const old = await digest(new Uint8Array(await served.arrayBuffer()));
    const entry = await visit.read();
    const newsreelMs = performance.now() - began;
    const { from, freshness, ageMs } = entry;
    const kept = entry.value ? unpack(entry.value) : undefined;
    if (!kept) return { key, outcome: 'error', error: 'the page is not stored', servedMs, newsreelMs };
    const ours = await digest(kept.body);
    const outcome = ours === old ? 'same' : await whichIsNewer(visit, old, ours);
    return { key, outcome, from, freshness, ageMs, servedMs, newsreelMs };
  } catch (error) {
    return { key, outcome: 'error', error: error instanceof Error ? error.message : String(error), servedMs };
  }
}

/** Asks the handler once more, without its own cache: whichever of the two it says now is the newer. */
async function whichIsNewer<Env>(visit: Visit<Env>, old: string, ours: string): Promise<'older' | 'newer' | 'differs'> {
  const now = await digest(new Uint8Array(await (await visit.fresh()).arrayBuffer()));
  if (now === ours) return 'newer';
  return now === old ? 'older' : 'differs';
}

async function digest(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return [...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))].join();
}

function log(report: ShadowReport): void {
  console.log(JSON.stringify({ newsreel: 'shadow', ...report }));
}
