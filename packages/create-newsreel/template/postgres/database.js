// The database: DATABASE_URL, or one on this machine.

import pg from 'pg';

export const url = process.env.DATABASE_URL || 'postgres://postgres:postgres@127.0.0.1:5432/postgres';

/** Runs SQL, and ends the program with what to do where there is no database. */
export async function query(sql, values) {
  const client = new pg.Client({ connectionString: url });
  try {
    await client.connect();
    return await client.query(sql, values);
  } catch (error) {
    const hint = error.code === 'ECONNREFUSED' ? '\nSet DATABASE_URL, or start one: docker run -p 5432:5432 -e POSTGRES_PASSWORD=postgres postgres' : '';
    console.error(`${url.replace(/:[^:@/]*@/, ':…@')}: ${error.message || error.code}${hint}`);
    process.exit(1);
  } finally {
    await client.end();
  }
}
