// Prints every change of a catalog, and goes on where it was when it is started again.
//
//   npm install newsreel
//   NEWSREEL_URL=https://newsreel.example.workers.dev NEWSREEL_CATALOG=tv NEWSREEL_TOKEN=… node follow.mjs

import { connect } from 'newsreel';
import { filePosition } from 'newsreel/file';

const { NEWSREEL_URL, NEWSREEL_CATALOG, NEWSREEL_TOKEN, POSITION = 'newsreel-position' } = process.env;

const feed = await connect(NEWSREEL_URL, {
  catalog: NEWSREEL_CATALOG,
  token: NEWSREEL_TOKEN,
  // The first time; afterwards the store says where.
  from: 'start',
  store: filePosition(POSITION),
  // Connects again by itself: nothing to do here but to tell.
  onState: (state) => console.error(state.name, state.reason ?? ''),
});

// The loop goes on to its next event, and what it has handled is kept.
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => feed.close());

// Ends when the feed is closed; throws what a new attempt cannot help against, e.g. an unknown token.
for await (const event of feed) {
  if (event.type === 'reset') console.log('forget everything', event.reason);
  else for (const change of event.changes) console.log(event.version, JSON.stringify(change));
}
