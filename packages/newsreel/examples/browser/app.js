// What index.html does: follows, shows, and after a reload goes on where it was.

import { connect, localStoragePosition } from 'newsreel';

const asked = new URLSearchParams(location.search);
const catalog = asked.get('catalog') ?? 'tv';
const [state, changes] = ['state', 'changes'].map((id) => document.getElementById(id));

await connect(asked.get('broker'), {
  catalog,
  // In a page of your own: a function that fetches a short-lived token from your server.
  token: asked.get('token') ?? undefined,
  from: 'start',
  // Another open page of this site needs another key.
  store: localStoragePosition(`newsreel-${catalog}`),
  onState: ({ name, reason }) => (state.value = reason ? `${name}: ${reason}` : name),
  onChanges(events) {
    for (const event of events) show(event);
  },
  // Whatever the page derived from earlier changes is void.
  onReset: () => changes.replaceChildren(),
});

function show({ version, changes: changed }) {
  const line = document.createElement('li');
  line.textContent = `${version} ${changed.map((change) => JSON.stringify(change)).join(' ')}`;
  changes.append(line);
}
