// `newsreel source postgres` and its connection: passwords, TLS, several hosts; its slot while idle, shown and dropped.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, chownSync, copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { TLSSocket, connect as secureConnect, createSecureContext } from 'node:tls';

import { Source, servers, startPostgres } from './postgres.mjs';
import { until } from './source.mjs';
import { startLine } from './proxy.mjs';
import { startBroker } from './served.mjs';
import { NEWSREEL, runToEnd, temporaryFolder } from './system.mjs';

const MAP = '[[map]]\nfrom = "public.titles"\nkey = "title:{id}"\n';
const ACCESS = `host all postgres 127.0.0.1/32 trust
hostssl all secured 127.0.0.1/32 scram-sha-256
host all old 127.0.0.1/32 md5
host all app 127.0.0.1/32 scram-sha-256
`;

/** Makes a certificate of 127.0.0.1, signed by itself, in a folder; returns the files of its key and of itself. */
function certificateIn(folder) {
  const [key, cert] = ['server.key', 'server.crt'].map((name) => join(folder, name));
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1', '-addext',
    'subjectAltName=IP:127.0.0.1', '-addext', 'basicConstraints=critical,CA:FALSE', '-keyout', key, '-out', cert], { stdio: 'ignore' });
  return [key, cert];
}

/** Makes a certificate that the server's user can read. */
function certificate(pg) {
  const [key, cert] = certificateIn(pg.data);
  const { uid, gid } = statSync(pg.data);
  for (const file of [key, cert]) chownSync(file, uid, gid);
  execFileSync('chmod', ['600', key]);
  return cert;
}

/** A server in between with a certificate of its own, which passes on what both say. Returns its address. */
async function startBetween(t, pg) {
  const folder = temporaryFolder(t);
  const [key, cert] = certificateIn(folder);
  const secureContext = createSecureContext({ key: readFileSync(key), cert: readFileSync(cert) });
  const server = createServer(async (near) => {
    const far = connect(pg.port, '127.0.0.1');
    for (const end of [near, far]) end.on('error', () => {});
    // Both begin with a request for TLS, which is answered by one letter.
    const [request] = await once(near, 'data');
    far.write(request);
    const [letter] = await once(far, 'data');
    near.write(letter);
    const ends = [new TLSSocket(near, { isServer: true, secureContext }), secureConnect({ socket: far, rejectUnauthorized: false })];
    for (const end of ends) end.on('error', () => ends.forEach((end) => end.destroy()));
    ends[0].pipe(ends[1]).pipe(ends[0]);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return `127.0.0.1:${server.address().port}`;
}

for (const { name, bin } of servers()) {
  test(`the connection of a source to PostgreSQL ${name}`, { skip: bin ? false : 'this PostgreSQL is not there', timeout: 120_000 }, async (t) => {
    const pg = await startPostgres(t, bin);
    const broker = await startBroker(t);
    await pg.sql(
      'CREATE TABLE titles (id int PRIMARY KEY)',
      `SET password_encryption = 'scram-sha-256'`,
      ...['app', 'secured', 'old'].map((role) => `CREATE ROLE ${role} LOGIN REPLICATION PASSWORD 'a secret'`),
      `SET password_encryption = 'md5'; ALTER ROLE old PASSWORD 'a secret'`,
      'CREATE ROLE owner; GRANT owner TO app, secured, old; ALTER TABLE titles OWNER TO owner; GRANT CREATE ON DATABASE postgres TO owner',
    );
    const cert = certificate(pg);
    const trusted = join(temporaryFolder(t), 'root.crt');
    copyFileSync(cert, trusted);
    writeFileSync(join(pg.data, 'pg_hba.conf'), ACCESS);
    appendFileSync(join(pg.data, 'postgresql.conf'), 'ssl = on\n');
    await pg.end('SIGINT');
    await pg.start();
    const at = `127.0.0.1:${pg.port}`;
    const make = (url, flags = []) =>
      new Source(t, { url, broker: broker.url, folder: join(temporaryFolder(t), 'source'), map: MAP, flags: ['--heartbeat-ms', '200', ...flags] });
    const command = (url, ...words) => runToEnd(NEWSREEL, ['source', 'postgres', '--database', url, ...words]);
    const ends = async (url, pattern) => {
      const source = make(url, ['--max-failures', '1', '--retry-for-ms', '500']).start();
      const code = await source.ended();
      assert.match(source.log, pattern);
      return code;
    };
    const follows = async (url) => {
      const source = make(url).start();
      await source.said(/following/);
      const before = (await broker.status()).version;
      await pg.sql(`INSERT INTO titles SELECT coalesce(max(id), 0) + 1 FROM titles`);
      await until(async () => (await broker.status()).version > before, () => source.log);
      await source.kill('SIGTERM');
    };

    await t.test('a password is sent as SCRAM or MD5; a wrong one and none are told', async () => {
      await follows(`postgres://app:a%20secret@${at}/postgres?sslmode=disable`);
      await follows(`postgres://old:a%20secret@${at}/postgres?sslmode=disable`);
      assert.notEqual(await ends(`postgres://app:wrong@${at}/postgres`, /password authentication failed/), 0);
      assert.notEqual(await ends(`postgres://app@${at}/postgres`, /password/), 0);
    });

    await t.test('TLS: required, and verified by its root', async () => {
      await follows(`postgres://secured:a%20secret@${at}/postgres?sslmode=require`);
      await follows(`postgres://secured:a%20secret@${at}/postgres?sslmode=verify-full&sslrootcert=${trusted}`);
      await ends(`postgres://secured:a%20secret@${at}/postgres?sslmode=verify-full`, /certificate|UnknownIssuer/i);
      await ends(`postgres://secured:a%20secret@${at}/postgres?sslmode=disable`, /no encryption|pg_hba/);
    });

    await t.test('the proof of a password is bound to the certificate, so that nobody in between can pass it on', async () => {
      const between = await startBetween(t, pg);
      const secured = (address, words) => `postgres://secured:a%20secret@${address}/postgres?sslmode=require${words}`;
      await follows(secured(at, '&channel_binding=require'));
      await follows(secured(between, '&channel_binding=disable'));
      await ends(secured(between, ''), /channel binding/i);
      await ends(secured(between, '&channel_binding=require'), /channel binding/i);
      await ends(`postgres://app:a%20secret@${at}/postgres?sslmode=disable&channel_binding=require`, /channel.binding/i);
      await ends(`postgres://old:a%20secret@${at}/postgres?channel_binding=require`, /channel.binding/i);
    });

    await t.test('of several hosts the one that takes writes is found', async () => {
      await follows(`postgres://app:a%20secret@127.0.0.1:1,${at}/postgres?target_session_attrs=read-write`);
    });

    await t.test('an idle slot moves on, is shown, and is dropped', async () => {
      const url = `postgres://app:a%20secret@${at}/postgres`;
      const source = make(url).start();
      await source.said(/following/);
      const shown = async () => JSON.parse((await command(url, 'status', '--json')).stdout);
      const first = await shown();
      assert.deepEqual([first.slot, first.active], ['newsreel', true]);
      await until(async () => (await shown()).confirmed_lsn !== first.confirmed_lsn, () => `the heartbeat moves the slot on: ${source.log}`);
      assert.match((await command(url, 'status')).stdout, /^slot +newsreel\nactive +yes\n/);
      await source.kill('SIGTERM');
      await until(async () => (await shown()).active === false, 'the slot is free');
      const dropped = await command(url, 'drop');
      assert.equal(dropped.code, 0, dropped.stderr);
      assert.notEqual((await command(url, 'status')).code, 0);
    });

    await t.test('a connection without a sign of life is opened again', async () => {
      const line = await startLine(t, pg.port);
      const source = make(`postgres://app:a%20secret@${new URL(line.url).host}/postgres?sslmode=disable`);
      source.words[source.words.indexOf('--status-interval-ms') + 1] = '300';
      source.start();
      await source.said(/following/);
      line.cut('swallow');
      await source.said(/gave no sign of life for/);
      line.mend();
      const before = (await broker.status()).version;
      await pg.sql('INSERT INTO titles SELECT max(id) + 1 FROM titles');
      await until(async () => (await broker.status()).version > before, () => source.log);
      await source.kill('SIGTERM');
    });

    await t.test('a database that stays away ends the source with a code of its own', async () => {
      const source = make(`postgres://app:a%20secret@${at}/postgres`, ['--max-failures', '2']).start();
      await source.said(/following/);
      await pg.end('SIGQUIT');
      assert.equal(await source.ended(), 6, source.log);
    });
  });
}
