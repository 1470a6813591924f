// PROTOCOL.md, "What is assumed of the platform": which of it the play has seen, which it has not, which it contradicts.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { ROOT } from '../system.mjs';

const SEEN = 'seen';
const NOT_SEEN = 'not seen';
const CONTRADICTED = 'CONTRADICTED';
const never = (why) => () => [NOT_SEEN, why];

/** For each row of the table, by how it begins: what is made of the evidence. */
const JUDGES = [
  ['One object per catalog', ({ seen, counts }) => (seen.oneHead
    ? [SEEN, `${counts.publishes} receipts of three publishers, each version once`]
    : [CONTRADICTED, 'versions are missing, or come twice'])],
  ['A transaction is written whole', ({ seen, violations }) => (violations.some((text) => text.startsWith('G4'))
    ? [CONTRADICTED, 'a version was split']
    : seen.hashes > 0 ? [SEEN, `${seen.hashes} versions at followers, each whole`] : [NOT_SEEN, 'no follower kept a row'])],
  ['The output gate', ({ seen, violations }) => {
    if (violations.some((text) => /D1|ahead of the log/.test(text))) return [CONTRADICTED, 'an acknowledged version is another, or is gone'];
    if (!seen.replaced) return [NOT_SEEN, 'the deployment was not replaced'];
    const how = seen.replaced.isCrash ? 'the process was killed' : 'it was deployed again';
    return [SEEN, `${how} after ${seen.replaced.publishesBefore} acknowledged publishes, and none was lost`];
  }],
  ['Texts on a socket arrive in order', ({ violations, counts }) => (violations.some((text) => /no gap|in order/.test(text))
    ? [CONTRADICTED, 'a gap over an open socket']
    : [SEEN, `no gap over an open socket, in ${counts['cuts of followers'] + 2} connections`])],
  ['`ping` is answered', ({ seen }) => (seen.pong ? [SEEN, `pong ${seen.pong}`] : [NOT_SEEN, 'no follower was idle for long enough'])],
  ['Sockets, their tags and attachments', ({ seen }) => (seen.idleMs >= 11_000
    ? [SEEN, `after ${seen.idleMs} ms of silence the same socket told of the next version`]
    : [NOT_SEEN, 'no follower was idle for long enough'])],
  ['A close that the broker begins', ({ seen }) => (seen.closeMs === undefined
    ? [CONTRADICTED, 'no Close frame came']
    : [SEEN, `its Close frame came after ${seen.closeMs} ms`])],
  ['A deploy or a crash closes sockets', ({ seen }) => (seen.closedByServer > 0
    ? [SEEN, `${seen.closedByServer} sockets were closed`]
    : [NOT_SEEN, 'no socket was closed from there'])],
  ['The alarm fires', ({ seen }) => (seen.head?.oldest > 1
    ? [SEEN, `versions before ${seen.head.oldest} are folded`]
    : [NOT_SEEN, 'nothing was folded in the time'])],
  ['Clocks only tell ages', ({ seen }) => {
    const off = seen.clocks?.length ? Math.max(...seen.clocks.map(Math.abs)) : undefined;
    return off === undefined ? [NOT_SEEN, 'no receipt'] : [SEEN, `times of receipts are within ${off} ms of this machine's`];
  }],
  ['Random bits differ', ({ seen }) => {
    const [one, other] = seen.epochs ?? [];
    if (!one || !other) return [NOT_SEEN, 'no two epochs'];
    return one.slice(10) === other.slice(10) ? [CONTRADICTED, `${one} and ${other}`] : [SEEN, 'two epochs differ in their random bits'];
  }],
  ['SHA-256 cut to 64 bits', ({ seen }) => [seen.hashes > 0 ? SEEN : NOT_SEEN, `${seen.hashes ?? 0} hashes were computed again and were equal`]],
  ['SHA-256 cut to 128 bits', never('an attack cannot be shown to fail')],
  ['A restore takes the whole object back', never('a restore is begun in the dashboard, and not from outside')],
  ['A row has at most 2 MB', ({ seen }) => (seen.largeBytes > 0 ? [SEEN, `a row of ${seen.largeBytes} bytes`] : [NOT_SEEN, 'no large row came'])],
];

/** Returns the rows of the table of PROTOCOL.md, each as its first cell. */
export function assumed() {
  const text = readFileSync(join(ROOT, 'crates/core/PROTOCOL.md'), 'utf8');
  const section = text.slice(text.indexOf('## What is assumed of the platform'), text.indexOf('## What may change'));
  return [...section.matchAll(/^\| (?!assumed)([^|-][^|]*) \|/gm)].map(([, cell]) => cell);
}

/** Returns a verdict for each row. A row without a judge, or a judge without a row, is an error. */
export function judged(evidence) {
  const rows = assumed();
  const unused = JUDGES.filter(([begin]) => !rows.some((row) => row.startsWith(begin)));
  if (unused.length > 0) throw new Error(`PROTOCOL.md assumes no longer: ${unused.map(([begin]) => begin).join('; ')}`);
  return rows.map((row) => {
    const [, judge] = JUDGES.find(([begin]) => row.startsWith(begin)) ?? [];
    if (!judge) throw new Error(`e2e/soak-real/assumptions.mjs does not judge: ${row}`);
    const [verdict, how] = judge(evidence);
    return { assumed: row, verdict, how };
  });
}
