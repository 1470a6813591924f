// A process that follows and is killed in the middle of its handler, again and again, until it has handled everything.
// Run by client-feed.test.mjs.

import { appendFileSync } from 'node:fs';

import { connect } from './client.mjs';
import { filePosition } from '../target/client/package/dist/file.js';

const { BROKER, CATALOG, TOKEN, LOG, STORE, DIE_AFTER, TOTAL } = process.env;

let handled = 0;
const feed = await connect(BROKER, {
  catalog: CATALOG,
  token: TOKEN,
  from: 'start',
  store: filePosition(STORE),
  onChanges: async (events, feed) => {
    for (const { version } of events) {
      appendFileSync(LOG, `${version}\n`);
      if ((handled += 1) === Number(DIE_AFTER)) process.kill(process.pid, 'SIGKILL');
      if (version === Number(TOTAL)) await feed.close();
    }
  },
});
await feed.closed;
