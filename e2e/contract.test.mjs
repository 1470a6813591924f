// The outside contract of the broker, call by call: what is accepted, what is refused, what it leaves behind.

import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { test } from 'node:test';

import { Follower } from './follower.mjs';
import { startBroker } from './served.mjs';
import { TOKENS } from './system.mjs';

test('the contract', async (t) => {
  const broker = await startBroker(t);
  const head = async (catalog) => (await broker.status(catalog)).version;

  await t.test('a publish of 1 to 1,000 changes is one version', async () => {
    const receipt = await broker.publish({ key: 'title:1', tags: ['a'] });
    assert.deepEqual(Object.keys(receipt), ['catalog', 'epoch', 'version', 'position', 'at', 'changes']);
    assert.equal(receipt.catalog, 'tv');
    assert.match(receipt.epoch, /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/);
    assert.match(receipt.position, new RegExp(`^${receipt.epoch}:${receipt.version}:[0-9a-f]{16}$`));
    const many = await broker.publish({ changes: Array.from({ length: 1000 }, (_, n) => ({ key: `title:${n}` })) });
    assert.equal(many.version, receipt.version + 1);
    assert.equal(many.changes, 1000);
    assert.equal((await broker.status()).position, many.position);
  });

  const refused = [
    ['bad JSON', '{', 400, 'bad-json'],
    ['no body', '', 400, 'bad-json'],
    ['an array', '[]', 400, 'bad-json'],
    ['an array of all its fields', '[null,null,null,"a:1",null,null,null,null,null,null]', 400, 'bad-json'],
    ['an unknown field', '{"key":"a:1","colour":"red"}', 400, 'unknown-field'],
    ['no target', '{}', 400, 'no-target'],
    ['two targets', '{"key":"a:1","tag":"x"}', 400, 'two-targets'],
    ['a key without a class', '{"key":"a"}', 400, 'bad-key'],
    ['a key of 401 bytes', JSON.stringify({ key: `a:${'x'.repeat(399)}` }), 400, 'bad-key'],
    ['a key with a control character', '{"key":"a:\\u0001"}', 400, 'bad-key'],
    ['a tag with a space', '{"tag":"a b"}', 400, 'bad-tag'],
    ['an empty prefix', '{"prefix":""}', 400, 'bad-prefix'],
    ['a soft remove', '{"key":"a:1","op":"remove","soft":true}', 400, 'bad-change'],
    ['no changes', '{"changes":[]}', 400, 'no-changes'],
    ['1,001 changes', JSON.stringify({ changes: Array(1001).fill({ key: 'a:1' }) }), 400, 'too-many-changes'],
    ['a target named twice', '{"changes":[{"key":"a:1"},{"key":"a:1"}]}', 400, 'duplicate-target'],
    ['a body over 1 MiB', ' '.repeat((1 << 20) + 1), 413, 'body-too-large'],
  ];
  for (const [what, body, status, code] of refused) {
    await t.test(`${what} is refused and leaves nothing behind`, async () => {
      const before = await head();
      const answer = await broker.publishRaw(body);
      problem(answer, status, code);
      assert.equal(await head(), before);
    });
  }

  await t.test('whoever sends far too much hears why', async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, () => broker.publishRaw(' '.repeat(8 << 20))));
    for (const answer of answers) problem(answer, 413, 'body-too-large');
  });

  await t.test('a body over 1 MiB that does not announce its length is refused too', async () => {
    const status = await new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${TOKENS.publish}`, 'transfer-encoding': 'chunked' };
      const request = httpRequest(broker.at('/changes'), { method: 'POST', headers }, (answer) => {
        answer.resume().on('end', () => resolve(answer.statusCode));
      });
      request.on('error', reject);
      for (let part = 0; part < 5; part += 1) request.write(' '.repeat(300_000));
      request.end();
    });
    assert.equal(status, 413);
  });

  await t.test('addresses, methods and catalogs that do not exist', async () => {
    const token = TOKENS.admin;
    problem(await broker.call('GET', '/nothing', { token }), 404, 'unknown-path');
    const wrong = await broker.call('DELETE', '/changes', { token });
    problem(wrong, 405, 'method-not-allowed');
    assert.equal(wrong.headers.get('allow'), 'GET, POST');
    problem(await broker.call('GET', '', { token, catalog: 'TV' }), 400, 'bad-catalog');
    problem(await broker.call('GET', '/follow', { token }), 426, 'upgrade-required');
    problem(await broker.call('GET', '/entries/nokey', {}), 400, 'bad-key');
    for (const method of ['GET', 'HEAD']) {
      assert.equal((await fetch(`${broker.url}/healthz`, { method })).status, 200);
      const authorization = `Bearer ${TOKENS.follow}`;
      const status = await fetch(broker.at(''), { method, headers: { authorization } });
      assert.equal(status.status, 200);
      assert.equal((await status.text()).length > 0, method === 'GET');
    }
    assert.equal((await fetch(`${broker.url}/readyz`)).status, 200);
  });

  await t.test('tokens: none, wrong, of another scope, of another catalog', async () => {
    const body = '{"key":"a:1"}';
    const missing = await broker.call('POST', '/changes', { body });
    problem(missing, 401, 'unauthorized');
    assert.equal(missing.headers.get('www-authenticate'), 'Bearer');
    problem(await broker.publishRaw(body, { token: 'wrong' }), 401, 'unauthorized');
    problem(await broker.publishRaw(body, { token: TOKENS.follow }), 403, 'forbidden');
    problem(await broker.publishRaw(body, { token: 'tv-publish', catalog: 'fares' }), 403, 'forbidden');
    assert.equal((await broker.publishRaw(body, { token: 'tv-publish' })).status, 200);
    assert.equal((await broker.publishRaw(body, { token: TOKENS.admin })).status, 200);
    problem(await broker.call('GET', '/followers', { token: TOKENS.follow }), 403, 'forbidden');
    await assert.rejects(new Follower(broker, { token: 'wrong' }).connect());
  });

  await t.test('D3: a publish retried with its idempotency key has one effect and one version', async () => {
    const headers = { 'idempotency-key': 'order-1' };
    const first = await broker.publish({ key: 'title:9' }, { headers });
    const again = await broker.publishRaw('{ "changes": [{"op":"update","key":"title:9"}] }', { headers });
    assert.deepEqual(again.json, first);
    assert.equal(await head(), first.version);
    problem(await broker.publishRaw('{"key":"title:10"}', { headers }), 422, 'idempotency-reuse');
    const k2 = { headers: { 'idempotency-key': 'k2' } };
    const together = await Promise.all(Array.from({ length: 8 }, () => broker.publishRaw('{"key":"title:11"}', k2)));
    const refused = together.filter(({ json }) => json.code === 'idempotency-in-flight');
    const receipts = together.filter((answer) => !refused.includes(answer)).map(({ json }) => json);
    assert.deepEqual(new Set(receipts.map((one) => one.version)), new Set([first.version + 1]));
    assert.deepEqual(await broker.publish({ key: 'title:11' }, k2), receipts[0], 'and whoever was refused gets it later');
    const late = '{"expect":{"version":1},"key":"a:1"}';
    problem(await broker.publishRaw(late, { headers: { 'idempotency-key': 'k3' } }), 412, 'expect-failed');
    await broker.publish({ key: 'a:1' }, { headers: { 'idempotency-key': 'k3' } });
    const admin = await broker.publish({ key: 'title:10' }, { headers, token: 'tv-publish' });
    assert.equal(admin.version, await head(), 'a key belongs to its publisher');
  });

  await t.test('expect is compared with the head', async () => {
    const { epoch, version } = await broker.status();
    const wrong = await broker.publishRaw(JSON.stringify({ key: 'a:1', expect: { epoch, version: version - 1 } }));
    problem(wrong, 412, 'expect-failed');
    assert.equal(wrong.json.version, version);
    const right = await broker.publish({ key: 'a:1', expect: { epoch, version } });
    assert.equal(right.version, version + 1);
  });

  await t.test('the changes page: since, limit, and a position that is not on the log', async () => {
    const catalog = 'paged';
    const receipts = [];
    for (let n = 1; n <= 5; n += 1) receipts.push(await broker.publish({ key: `a:${n}` }, { catalog }));
    const first = (await broker.changes('?since=0&limit=2', { catalog })).json;
    assert.deepEqual([first.from, first.to, first.head], [0, 2, 5]);
    assert.deepEqual(first.versions.map((row) => row.changes[0].key), ['a:1', 'a:2']);
    assert.equal(`${first.epoch}:2:${first.hash}`, receipts[1].position);
    const position = (page) => `?epoch=${page.epoch}&since=${page.to}&hash=${page.hash}`;
    const second = (await broker.changes(position(first), { catalog })).json;
    assert.deepEqual([second.from, second.to, second.versions.length], [2, 5, 3]);
    const none = (await broker.changes(position(second), { catalog })).json;
    assert.deepEqual([none.from, none.to, none.versions], [5, 5, []]);
    problem(await broker.changes(position({ ...first, hash: '0000000000000000' }), { catalog }), 410, 'reset');
    problem(await broker.changes(position({ ...first, to: 6 }), { catalog }), 410, 'reset');
    problem(await broker.changes(position({ ...first, epoch: '01ARYZ6S410000000000000000' }), { catalog }), 410, 'reset');
    problem(await broker.changes('?since=3', { catalog }), 400, 'bad-position');
    problem(await broker.changes('?limit=0', { catalog }), 400, 'bad-request');
    problem(await broker.changes('?epoch=x&since=1', { catalog }), 400, 'bad-position');
  });

  await t.test('G7: a follower with a foreign or future position gets a reset', async () => {
    const { epoch, version, position } = await broker.status();
    const hash = position.split(':')[2];
    for (const from of [
      { epoch: '01ARYZ6S410000000000000000', version: 3, hash },
      { epoch, version: version + 1, hash },
      { epoch, version: version - 1, hash },
    ]) {
      const follower = await new Follower(broker).connect({ from });
      assert.equal(follower.frames[0].resume, 'reset');
      assert.equal(follower.resets, 1);
      assert.equal(`${follower.position.epoch}:${follower.position.version}:${follower.position.hash}`, position);
      await follower.close();
    }
  });

  await t.test('ping is answered with the head, and a bad frame closes that follower only', async () => {
    const good = await new Follower(broker).connect({ from: 'head' });
    const bad = await new Follower(broker).connect({ from: 'head' });
    assert.equal(await good.ping(), (await broker.status()).position);
    bad.socket.send('{"type":"nonsense"}');
    await bad.until(() => bad.closed);
    assert.equal(bad.closed.code, 4500);
    assert.equal(bad.error.code, 'bad-frame');
    const { version, position } = await broker.publish({ key: 'a:1' });
    await good.reached(version);
    assert.equal(await good.ping(), position);
    await good.close();
  });

  await t.test('topics: a follower hears what matches and learns how far it has got', async () => {
    const catalog = 'topics';
    const follower = await new Follower(broker, { catalog, topics: ['availability:netflix:'] }).connect();
    await broker.publish({ changes: [{ key: 'availability:netflix:1' }, { key: 'availability:hulu:1' }] }, { catalog });
    await broker.publish({ key: 'embedding:1' }, { catalog });
    await broker.publish({ prefix: 'avail' }, { catalog });
    await broker.publish({ tag: 'x' }, { catalog });
    const last = await broker.publish({ all: true }, { catalog });
    await follower.reached(last.version);
    const heard = follower.versions.map((row) => [row.version, row.changes]);
    assert.deepEqual(heard, [
      [1, [{ key: 'availability:netflix:1' }]],
      [3, [{ prefix: 'avail' }]],
      [4, [{ tag: 'x' }]],
      [5, [{ all: true }]],
    ]);
    await broker.publish({ key: 'embedding:2' }, { catalog });
    await follower.close();
    await follower.connect();
    assert.equal(follower.position.version, 6, 'a bookmark at live');
    await follower.close();
  });
});

function problem(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.headers.get('content-type'), 'application/problem+json');
  assert.equal(answer.json.code, code);
  assert.equal(answer.json.status, status);
  for (const field of ['type', 'title', 'detail']) assert.equal(typeof answer.json[field], 'string');
}
