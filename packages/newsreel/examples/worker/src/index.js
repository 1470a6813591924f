// A Durable Object that mirrors which version changed each key last, and answers from that.
//
// It is evicted when nobody needs it, or at any other moment; its position is in its storage, so it misses nothing.

import { DurableObject } from 'cloudflare:workers';
import { connect, durableObjectPosition } from 'newsreel';

/** How often it looks whether it still follows. Each time keeps it from falling asleep, too. */
const LOOK_EVERY_MS = 30_000;

export class Mirror extends DurableObject {
  #feed;
  /** How many versions were handled since it woke up. */
  #handled = 0;

  async #follow() {
    if (this.#feed && this.#feed.state.name !== 'closed') return;
    this.#feed = await connect(this.env.NEWSREEL_URL, {
      catalog: this.env.NEWSREEL_CATALOG,
      token: this.env.NEWSREEL_TOKEN,
      from: 'start',
      store: durableObjectPosition(this.ctx.storage),
      onChanges: (events) => this.#take(events),
    });
    await this.ctx.storage.setAlarm(Date.now() + LOOK_EVERY_MS);
  }

  /** The position is kept after this, and the object's writes keep their order: never is it ahead of what is mirrored. */
  async #take(events) {
    for (const { type, version, changes } of events) {
      // A fold says of each change at which version it was made; the others are of one version.
      for (const { key, all, version: at = version } of changes) {
        if (all) await this.#forget();
        else if (key) await this.ctx.storage.put(`changed:${key}`, at);
      }
      if (type === 'version') this.#handled += 1;
    }
  }

  async #forget() {
    const all = await this.ctx.storage.list({ prefix: 'changed:' });
    for (const key of all.keys()) await this.ctx.storage.delete(key);
  }

  /** `GET /?after=VERSION` answers once it has come so far: who has just published reads what it wrote. */
  async fetch(request) {
    await this.#follow();
    const after = new URL(request.url).searchParams.get('after');
    if (after) await this.#feed.waitFor(after, { timeoutMs: 10_000 });
    const all = await this.ctx.storage.list({ prefix: 'changed:' });
    const changed = Object.fromEntries([...all].map(([key, version]) => [key.slice('changed:'.length), version]));
    return Response.json({ position: this.#feed.position, handled: this.#handled, changed });
  }

  async alarm() {
    await this.#follow();
    await this.ctx.storage.setAlarm(Date.now() + LOOK_EVERY_MS);
  }
}

export default {
  fetch: (request, env) => env.MIRROR.getByName(env.NEWSREEL_CATALOG).fetch(request),
};
