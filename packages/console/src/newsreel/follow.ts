/** Following the log by the package `newsreel` itself, which is loaded with the first view that follows. */

import type { FeedState, NewsreelError, VersionEvent } from 'newsreel';

import { type Api, Problem, type Row } from '../api.js';
import wasm from 'bound-wasm/newsreel_bg.wasm?url';

/** How many of the newest versions are shown before the first live one comes. */
const BEFORE = 500;

/** What a follower hears. */
export interface Hearing {
  rows(rows: readonly Row[]): void;
  /** The log jumped: what was heard before is of another history, or a part of it is folded away. */
  gap(reason: string): void;
  state(state: FeedState): void;
  ended(error: NewsreelError): void;
}

/** Follows from a little before the head until the signal aborts. */
export async function follow(api: Api, hearing: Hearing, signal: AbortSignal): Promise<void> {
  const [{ connect, provideWasm }, from] = await Promise.all([import('newsreel'), backlog(api, hearing)]);
  if (signal.aborted) return;
  provideWasm(async () => (await fetch(wasm)).arrayBuffer());
  const feed = await connect(location.origin, {
    catalog: api.catalog,
    token: api.token,
    name: 'console',
    from,
    signal,
    onChanges: (events) => {
      const rows = events.filter((event): event is VersionEvent => event.type === 'version');
      if (events.some((event) => event.type === 'fold')) hearing.gap('older versions are folded');
      if (rows.length > 0) hearing.rows(rows);
    },
    onReset: ({ reason }) => hearing.gap(reason),
    onState: (state) => hearing.state(state),
  });
  const error = await feed.closed;
  if (error && !signal.aborted) hearing.ended(error);
}

/** Hands in the newest versions that the log keeps; returns the position after them. */
async function backlog(api: Api, hearing: Hearing): Promise<string> {
  const { epoch, version, oldest } = await api.status();
  const since = Math.max(oldest - 1, version - BEFORE, 0);
  try {
    const page = await api.page({ epoch, since, limit: BEFORE });
    hearing.rows(page.versions);
    return `${page.epoch}:${page.to}:${page.hash}`;
  } catch (thrown) {
    // The log moved on meanwhile: what is missed of it is only the beginning of the list.
    if (thrown instanceof Problem && thrown.status === 410) return 'now';
    throw thrown;
  }
}
