// The production Worker in the hands of one that rolls back and forth, for tests only: a publish of the key `newer:schema`
// leaves rows that say a newer schema. The rows do so for one life of the object, and then are of this schema again.

import { Broker as Production } from 'WORKER';

export * from 'WORKER';
export { default } from 'WORKER';

let lives = 0;

export class Broker extends Production {
  constructor(ctx, env) {
    const { sql } = ctx.storage;
    const exec = sql.exec.bind(sql);
    const say = (schema) => exec("UPDATE meta SET value = ? WHERE name = 'schema'", schema);
    if (lives > 0 && (lives += 1) > 2) say('1');
    super(ctx, env);
    sql.exec = (query, ...values) => {
      if (query.startsWith('INSERT INTO log') && values[2].includes('"newer:schema"')) {
        lives = 1;
        say('1000');
      }
      return exec(query, ...values);
    };
  }
}
