// Runs every file of these tests, those that take longest first: at the end no core waits for one file.
//
//   node e2e/all.mjs [AT-ONCE]

import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

/** The files that take more than half a minute by themselves on two cores, the longest first. */
const LONGEST = ['source-outbox', 'source-killed', 'catalogue', 'log', 'publishing', 'source-watch', 'source-postgres', 'source-slots', 'conformance', 'source-catalogue', 'runner', 'openapi', 'bound', 'followers'];
const ENDING = '.test.mjs';

const folder = dirname(fileURLToPath(import.meta.url));
const names = readdirSync(folder).filter((file) => file.endsWith(ENDING)).map((file) => file.slice(0, -ENDING.length));
const unknown = LONGEST.filter((name) => !names.includes(name));
if (unknown.length > 0) throw new Error(`e2e/all.mjs names files that are not there: ${unknown.join(', ')}`);
const others = names.filter((name) => !LONGEST.includes(name)).sort();
const files = [...LONGEST, ...others].map((name) => join(folder, `${name}${ENDING}`));

// Four at once on two cores: many of them wait for timers and processes.
const tests = run({ files, concurrency: Number(process.argv[2] ?? 4) });
tests.on('test:fail', () => {
  process.exitCode = 1;
});
tests.compose(spec).pipe(process.stdout);
