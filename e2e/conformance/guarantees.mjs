// The invariants G1 to G7 and D3, each with more at once than a check of its section has.

import { problem, same } from './expect.mjs';
import { genesis, otherHash, position, positionText, rawRows } from './rows.mjs';

const section = 'Invariants';
const range = (count) => Array.from({ length: count }, (_, n) => n);

/** Publishes from several sides at once, over HTTP, lines and sockets; returns every receipt. */
async function storm(log, rounds) {
  const overHttp = range(3).map(async (who) => {
    const receipts = [];
    for (let n = 0; n < rounds; n += 1) {
      receipts.push(await log.publish({ changes: range(3).map((i) => ({ key: `http:${who}-${n}-${i}` })) }));
    }
    return receipts;
  });
  const byLines = range(2).map((who) => log.keys(range(rounds).map((n) => `line:${who}-${n}`)));
  const overSockets = range(2).map(async (who) => {
    const publisher = await log.publisher();
    return Promise.all(range(rounds).map((n) => publisher.publish({ key: `socket:${who}-${n}` })));
  });
  return (await Promise.all([...overHttp, ...byLines, ...overSockets])).flat();
}

async function identical(log) {
  const early = await followers(log, 25);
  const [receipts, late] = await Promise.all([storm(log, 20), followers(log, 25)]);
  same('a version for every receipt', new Set(receipts.map((receipt) => receipt.version)).size, receipts.length);
  const { version } = await log.publish({ all: true });
  const rows = rawRows((await log.page('?since=0')).text);
  same('the rows of the log', rows.length, version);
  for (const follower of [...early, ...late]) {
    await follower.reached(version);
    same('the rows of every follower', follower.rows, rows);
    same('resets', follower.resets, 0);
  }
}

function followers(log, count) {
  return Promise.all(range(count).map((n) => log.follow({ name: `f${n}` })));
}

async function wholeVersions(log) {
  const all = await followers(log, 5);
  const changes = (n) => range(n + 1).map((i) => ({ key: `a:${n}-${i}` }));
  const receipts = await Promise.all(range(30).map((n) => log.publish({ changes: changes(n) })));
  for (const follower of all) {
    await follower.reached(30);
    for (const { version, changes } of receipts) {
      same(`the changes of version ${version}`, follower.versions[version - 1].changes.length, changes);
    }
  }
}

async function comingAndGoing(log) {
  const all = await followers(log, 6);
  const publishing = storm(log, 20);
  for (let round = 0; round < 4; round += 1) {
    await Promise.all(all.map(async (follower) => {
      await follower.close();
      await follower.connect();
    }));
  }
  await publishing;
  const { version } = await log.publish({ all: true });
  const rows = rawRows((await log.page('?since=0')).text);
  for (const follower of all) {
    await follower.reached(version);
    same('the rows of one who came and went', follower.rows, rows);
    same('resets', follower.resets, 0);
  }
}

async function everyPosition(log) {
  const held = await log.follow();
  await storm(log, 4);
  const { version } = await log.publish({ all: true });
  await held.reached(version);
  const positions = [genesisOf(held.epoch), ...(await positionsOf(log))];
  same('a position for every version', positions.length, version + 1);
  for (const claim of positions) {
    const follower = await log.follow({ from: claim });
    same(`the rows after ${claim.version}`, follower.rows, held.rows.slice(claim.version));
    same('resets', follower.resets, 0);
    await follower.close();
    const page = await log.page(`?epoch=${claim.epoch}&since=${claim.version}&hash=${claim.hash}`);
    same(`the page after ${claim.version}`, rawRows(page.text), held.rows.slice(claim.version));
  }
}

const genesisOf = (epoch) => ({ epoch, version: 0, hash: genesis(epoch) });

/** Walks the log version by version; returns the position after each. */
async function positionsOf(log) {
  const positions = [];
  for (let query = '?since=0'; ; ) {
    const { epoch, from, to, hash } = await log.pageOf(`${query}&limit=1`);
    if (from === to) return positions;
    positions.push({ epoch, version: to, hash });
    query = `?epoch=${epoch}&since=${to}&hash=${hash}`;
  }
}

async function bookmarked(log) {
  const filtered = await log.follow({ topics: ['socket:0-'] });
  await storm(log, 10);
  const { version } = await log.publish({ all: true });
  await filtered.reached(version);
  const heard = filtered.versions.map((row) => row.changes);
  same('what passes', heard, [...range(10).map((n) => [{ key: `socket:0-${n}` }]), [{ all: true }]]);
  const again = await log.follow({ from: filtered.position, topics: ['socket:0-'] });
  same('it resumes from there', [again.frames[0].resume, again.versions], ['live', []]);
}

async function neverPartial(log) {
  const receipts = await log.keys(range(20).map((n) => `a:${n}`));
  for (const { position: text } of receipts) {
    const claim = position(text);
    const forged = { ...claim, hash: otherHash(claim.hash) };
    problem(await log.page(`?epoch=${forged.epoch}&since=${forged.version}&hash=${forged.hash}`), 410, 'reset');
    const follower = await log.follow({ from: forged });
    same('never a partial replay', [follower.resets, follower.versions], [1, []]);
    same('it goes on from the head', positionText(follower.position), receipts.at(-1).position);
    await follower.close();
  }
}

async function oneEffect(log) {
  const publisher = await log.publisher();
  const line = { key: 'a:1', idempotency_key: 'one' };
  const headers = { 'idempotency-key': 'one' };
  const answers = await Promise.all([
    ...range(20).map(() => publisher.publish(line)),
    ...range(5).map(() => log.lines([line, line, line])),
    ...range(10).map(() => log.post('{"key":"a:1"}', { headers }).then(({ json }) => json)),
  ]);
  // A request that comes while another is being read is told so.
  const receipts = answers.flat().filter((answer) => answer.code !== 'idempotency-in-flight');
  same('the positions in all answers', [...new Set(receipts.map((receipt) => receipt.position))], [(await log.status()).position]);
  same('the head', (await log.status()).version, 1);
}

export default [
  { id: 'G1', section, what: 'G1 G2 G3: 50 followers and 7 publishers at once: each has exactly the log', run: identical },
  { id: 'G3', section, what: 'G3: whoever comes and goes while others publish misses and repeats nothing', run: comingAndGoing },
  { id: 'G4', section, what: 'G4: a version is never split', run: wholeVersions },
  { id: 'G5', section, what: 'G5: from every position ever held, by socket and page', run: everyPosition },
  { id: 'G6', section, what: 'G6: a filtered follower learns how far it has got', run: bookmarked },
  { id: 'G7', section, what: 'G7: a forged position is a reset at every version, never a partial replay', run: neverPartial },
  { id: 'D3', section, what: 'D3: 45 publishes with one key, over HTTP, lines and a socket, are one version', run: oneEffect },
];
