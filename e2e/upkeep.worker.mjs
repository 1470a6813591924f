// The production Worker whose upkeep fails, for tests only: each statement that seals, folds or forgets throws once,
// the first time it comes.

import { Broker as Production } from 'WORKER';

export * from 'WORKER';
export { default } from 'WORKER';

const STATEMENTS = [
  'INSERT INTO segments', 'INSERT INTO hashes', 'DELETE FROM log WHERE', // seal
  'DELETE FROM folded WHERE place IN (SELECT value', 'INSERT OR REPLACE INTO folded', 'DELETE FROM segments WHERE',
  'INSERT OR REPLACE INTO meta', // fold
  'DELETE FROM hashes WHERE', 'DELETE FROM folded WHERE place IN (SELECT place FROM folded WHERE version', // forget
];

export class Broker extends Production {
  constructor(ctx, env) {
    const failed = new Set();
    const { sql } = ctx.storage;
    const exec = sql.exec.bind(sql);
    sql.exec = (query, ...values) => {
      const statement = STATEMENTS.find((one) => query.startsWith(one));
      const other = statement === 'INSERT OR REPLACE INTO meta' && values[0] !== 'folded';
      if (!statement || other || failed.has(statement)) return exec(query, ...values);
      failed.add(statement);
      throw new Error(`no ${statement}`);
    };
    super(ctx, env);
    this.failed = failed;
  }

  /** Lets a test ring the alarm, which would come again in 10 s, and see what has failed. */
  async fetch(request) {
    if (new URL(request.url).pathname !== '/alarm') return super.fetch(request);
    await this.alarm();
    return Response.json([...this.failed]);
  }
}
