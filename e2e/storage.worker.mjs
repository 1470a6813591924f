// The production Worker on storage with faults, for tests only: a row whose key begins with `fault:` brings one.
//
// `fault:bad`: this row cannot be written.
// `fault:full-N`: nothing can be written any more, until N rows were tried.
// `fault:held`: what is written from here on is durable only when something was written after it.
// `fault:large`: from here on the database says that it has 9 GiB.

import { Broker as Production } from 'WORKER';

export * from 'WORKER';
export { default } from 'WORKER';

export class Broker extends Production {
  constructor(ctx, env) {
    spoil(ctx.storage);
    super(ctx, env);
  }
}

function spoil(storage) {
  const { sql } = storage;
  const [exec, sync] = [sql.exec.bind(sql), storage.sync.bind(storage)];
  let refuses = 0;
  let held;
  sql.exec = (query, ...values) => {
    if (!query.startsWith('INSERT INTO log')) return exec(query, ...values);
    const [, fault, count] = /"fault:(\w+)(?:-(\d+))?"/.exec(values.join()) ?? [];
    if (fault === 'full' && refuses === 0) refuses = Number(count);
    if (fault === 'held') held = () => {};
    if (fault === 'large') Object.defineProperty(sql, 'databaseSize', { value: 9 * 2 ** 30 });
    if (fault !== 'bad' && (refuses === 0 || --refuses === 0)) return exec(query, ...values);
    throw new Error('this row cannot be written');
  };
  storage.sync = async () => {
    await sync();
    if (!held) return;
    held();
    await new Promise((durable) => (held = durable));
  };
}
