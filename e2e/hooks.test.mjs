// Webhooks without a queue: every scheme over HTTP, challenges, retries, refusals; CloudEvents and Debezium at the publish
// address. On bare workerd, in the production build.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { ed25519, HOOK_SECRETS, post, SIGNERS } from './hooks.mjs';
import { startBroker } from './served.mjs';
import { NEWSREEL, runToEnd, temporaryFolder, TOKENS } from './system.mjs';

const TITLES = { key: 'title:{titleId}', tags: ['platform:{platforms[]}'], removed_when: { type: ['TITLE_REMOVED'] } };
const { publicKey, privateKey } = generateKeyPairSync('ed25519');
const PUBLIC = `whpk_${publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64')}`;

const HOOKS = {
  standard: { scheme: 'standard-webhooks', secret: ['STD', 'STD_OLD'], map: [TITLES] },
  asymmetric: { scheme: 'standard-webhooks', secret: 'PUBLIC', map: [TITLES] },
  github: { scheme: 'github', secret: 'GH', map: [TITLES] },
  twitch: { scheme: 'twitch', secret: 'TWITCH', map: [{ key: 'live:{event.broadcaster_user_id}' }] },
  slack: { scheme: 'slack', secret: 'SLACK', map: [TITLES] },
  dato: { scheme: 'datocms', secret: 'DATO', map: [{ also: [{ tag: '{entity.attributes.tags[]}' }] }] },
  partner: {
    scheme: 'hmac', secret: 'HMAC', header: 'X-Sig', prefix: 'v0=', timestamp: 'X-Time', id: 'X-Id', window_s: 60,
    mapping: '[[map]]\nfrom = "partner"\nrows = "/items"\nkey = "title:{id}"\n',
  },
  token: { scheme: 'token', map: [TITLES] },
  fares: { scheme: 'github', secret: 'GH', catalog: 'fares', map: [TITLES] },
  unset: { scheme: 'github', secret: 'NOWHERE', map: [TITLES] },
  changes: {
    scheme: 'token',
    map: [
      { format: 'cloudevents', key: 'title:{data.titleId}' },
    ],
  },
};
const UPDATED = '{"type":"TITLE_UPDATED","titleId":"12345","version":47,"platforms":["netflix","hulu"]}';

test('webhooks on a broker without a queue', async (t) => {
  const broker = await startBroker(t, { HOOKS: JSON.stringify(HOOKS), ...HOOK_SECRETS, PUBLIC });
  const head = async (catalog) => (await broker.status(catalog)).version;
  const newest = async (catalog) => {
    const { version } = await broker.status(catalog);
    const page = await broker.changes(`?since=0&limit=1000`, { catalog });
    return page.json.versions.find((one) => one.version === version).changes;
  };
  const hook = (name, body, headers) => post(broker, `tv/hooks/${name}`, body, headers);

  await t.test('a signed message is one version, with its receipt', async () => {
    const before = await head();
    const answer = await hook('standard', UPDATED, SIGNERS.standard(UPDATED));
    assert.equal(answer.status, 200, answer.text);
    const { receipts, ...rest } = answer.body;
    assert.deepEqual(rest, { catalog: 'tv', hook: 'standard', id: 'msg_1', queued: false });
    assert.equal(receipts[0].version, before + 1);
    assert.deepEqual(await newest(), [{ key: 'title:12345', tags: ['platform:netflix', 'platform:hulu'] }]);
  });

  await t.test('D3: a provider that sends a message again has no second effect', async () => {
    const before = await head();
    for (const at of [Date.now(), Date.now() + 2_000, Date.now() - 60_000]) {
      const answer = await hook('standard', UPDATED, SIGNERS.standard(UPDATED, { at }));
      assert.equal(answer.status, 200, answer.text);
    }
    assert.equal(await head(), before, 'the id of the first message');
    const other = UPDATED.replace('12345', '6');
    assert.equal((await hook('standard', other, SIGNERS.standard(other))).status, 200);
    assert.equal(await head(), before + 1, 'a used id with other changes is published');
  });

  await t.test('a rotated secret, and Ed25519', async () => {
    const before = await head();
    const old = SIGNERS.standard(UPDATED, { id: 'msg_old', secret: HOOK_SECRETS.STD_OLD });
    assert.equal((await hook('standard', UPDATED, old)).status, 200);
    assert.equal((await hook('asymmetric', UPDATED, ed25519(UPDATED, privateKey))).status, 200);
    assert.equal(await head(), before + 2);
    const other = generateKeyPairSync('ed25519').privateKey;
    for (const headers of [ed25519(UPDATED, other), ed25519(`${UPDATED} `, privateKey), SIGNERS.standard(UPDATED)]) {
      const answer = await hook('asymmetric', UPDATED, headers);
      assert.deepEqual([answer.status, answer.body.code], [401, 'unauthorized'], answer.text);
    }
    assert.equal(await head(), before + 2);
  });

  await t.test('every provider, and its message with one byte more', async () => {
    const cases = [
      ['github', UPDATED, SIGNERS.github],
      ['slack', UPDATED, SIGNERS.slack],
      ['twitch', '{"event":{"broadcaster_user_id":"1337"}}', SIGNERS.twitch],
      ['partner', '{"items":[{"id":1},{"id":2}]}', SIGNERS.hmac],
    ];
    for (const [name, body, sign] of cases) {
      const answer = await hook(name, body, sign(body));
      assert.equal(answer.status, 200, `${name}: ${answer.text}`);
      const near = await hook(name, `${body} `, sign(body));
      assert.deepEqual([near.status, near.body.code], [401, 'unauthorized'], name);
      const wrong = await hook(name, body, sign(body, { secret: 'other' }));
      assert.equal(wrong.status, 401, name);
      assert.equal((await hook(name, body)).status, 401, name);
      for (const text of [near.text, wrong.text]) {
        for (const secret of Object.values(HOOK_SECRETS)) assert.ok(!text.includes(secret), text);
      }
    }
    assert.deepEqual(await newest(), [{ key: 'title:1' }, { key: 'title:2' }]);
  });

  await t.test('hundreds of cache tags in one call are one version', async () => {
    const before = await head();
    const tags = Array.from({ length: 800 }, (_, n) => `N*r;-1~${n}`);
    const body = (call) => JSON.stringify({
      webhook_call_id: call, entity_type: 'cda_cache_tags', event_type: 'invalidate',
      entity: { id: 'cda_cache_tags', type: 'cda_cache_tags', attributes: { tags } },
    });
    assert.equal((await hook('dato', body('1'), SIGNERS.dato())).status, 200);
    assert.equal((await hook('dato', body('1'), SIGNERS.dato())).status, 200, 'a retry');
    assert.equal(await head(), before + 1);
    // The mapping names each tag once, in the order of their bytes.
    assert.deepEqual(await newest(), tags.toSorted().map((tag) => ({ tag })));
    assert.equal((await hook('dato', body('2'), SIGNERS.dato())).status, 200, 'another call with the same tags');
    assert.equal(await head(), before + 2);
    assert.equal((await hook('dato', body('3'), SIGNERS.dato('', { secret: 'dato:open' }))).status, 401);
  });

  await t.test('a message from too long ago, or from the future, is a replay', async () => {
    const before = await head();
    for (const [name, body, sign, window] of [
      ['standard', UPDATED, SIGNERS.standard, 300], ['slack', UPDATED, SIGNERS.slack, 300],
      ['twitch', '{"event":{"broadcaster_user_id":"7"}}', SIGNERS.twitch, 300],
      ['partner', '{"items":[{"id":3}]}', SIGNERS.hmac, 60],
    ]) {
      for (const at of [Date.now() - (window + 5) * 1_000, Date.now() + (window + 5) * 1_000]) {
        const answer = await hook(name, body, sign(body, { at, id: 'late' }));
        assert.deepEqual([answer.status, answer.body.code], [401, 'unauthorized'], name);
        assert.match(answer.body.detail, new RegExp(`${window} s`));
      }
    }
    assert.equal(await head(), before);
  });

  await t.test('challenges are answered, and only to their providers', async () => {
    const before = await head();
    const challenge = '{"challenge":"pogchamp-kappa-360noscope-vohiyo","subscription":{}}';
    const asked = await hook('twitch', challenge, SIGNERS.twitch(challenge, { type: 'webhook_callback_verification' }));
    assert.deepEqual([asked.status, asked.text], [200, 'pogchamp-kappa-360noscope-vohiyo']);
    assert.match(asked.headers.get('Content-Type'), /^text\/plain/);
    const forged = await hook('twitch', challenge, SIGNERS.twitch(challenge, { type: 'webhook_callback_verification', secret: 'x' }));
    assert.equal(forged.status, 401);
    const revoked = '{"subscription":{"status":"authorization_revoked"}}';
    assert.equal((await hook('twitch', revoked, SIGNERS.twitch(revoked, { type: 'revocation' }))).status, 204);
    const verification = '{"token":"x","challenge":"3eZbrw1aBm2rZgRNFdxV2595","type":"url_verification"}';
    const slack = await hook('slack', verification, SIGNERS.slack(verification));
    assert.deepEqual([slack.status, slack.text], [200, '3eZbrw1aBm2rZgRNFdxV2595']);
    const ping = await hook('github', '{"zen":"x"}', { ...SIGNERS.github('{"zen":"x"}'), 'X-GitHub-Event': 'ping' });
    assert.equal(ping.status, 204);
    assert.equal(await head(), before);
  });

  await t.test('GitHub may send a form', async () => {
    const form = `payload=${encodeURIComponent(UPDATED)}`;
    const headers = { ...SIGNERS.github(form, { id: 'form' }), 'Content-Type': 'application/x-www-form-urlencoded' };
    assert.equal((await hook('github', form, headers)).status, 200);
  });

  await t.test('a remove is one where its provider says so', async () => {
    const removed = UPDATED.replace('UPDATED', 'REMOVED');
    assert.equal((await hook('github', removed, SIGNERS.github(removed, { id: 'gone' }))).status, 200);
    assert.deepEqual(await newest(), [{ key: 'title:12345', op: 'remove' }]);
  });

  await t.test('what cannot be mapped says why', async () => {
    const before = await head();
    for (const [body, code, says] of [
      ['poison', 'not-mapped', /no JSON/],
      ['{"type":"TITLE_UPDATED"}', 'not-mapped', /titleId/],
      ['{"titleId":null,"type":"x"}', 'not-mapped', /titleId/],
      [Buffer.from([0x7b, 0xff, 0x7d]), 'bad-json', /byte 1/],
    ]) {
      const answer = await hook('github', body, SIGNERS.github(body));
      assert.equal(answer.body?.code, code, answer.text);
      assert.match(answer.body.detail, says);
    }
    assert.equal(await head(), before);
  });

  await t.test('unknown hooks, other catalogs, unset secrets, other methods', async () => {
    const signed = SIGNERS.github(UPDATED, { id: 'nowhere' });
    for (const path of ['tv/hooks/nothing', 'tv/hooks/fares', 'tv/hooks/GITHUB', 'tv/hooks/']) {
      const answer = await post(broker, path, UPDATED, signed);
      assert.deepEqual([answer.status, answer.body.code], [404, 'unknown-hook'], path);
    }
    assert.equal((await post(broker, 'fares/hooks/fares', UPDATED, signed)).status, 200);
    const unset = await post(broker, 'tv/hooks/unset', UPDATED, signed);
    assert.deepEqual([unset.status, unset.body.code], [500, 'misconfigured']);
    assert.match(unset.body.detail, /NOWHERE/);
    assert.equal((await broker.call('GET', '/hooks/github', { token: TOKENS.admin })).status, 405);
    const encoded = await hook('github', UPDATED, { ...signed, 'Content-Encoding': 'gzip' });
    assert.equal(encoded.status, 415);
  });

  await t.test('a body has the limit of a publish, with its length or without', async () => {
    const large = JSON.stringify({ titleId: '1', filler: 'x'.repeat(1 << 20) });
    assert.equal((await hook('github', large, SIGNERS.github(large))).status, 413);
    const stream = new ReadableStream({
      start(controller) {
        for (let at = 0; at < large.length; at += 65_536) controller.enqueue(Buffer.from(large.slice(at, at + 65_536)));
        controller.close();
      },
    });
    const answer = await fetch(broker.at('/hooks/github'), { method: 'POST', body: stream, duplex: 'half', headers: SIGNERS.github(large) });
    assert.equal(answer.status, 413);
    const fits = JSON.stringify({ titleId: '1', type: 'x', filler: 'x'.repeat((1 << 20) - 200) });
    assert.equal((await hook('github', fits, SIGNERS.github(fits, { id: 'large' }))).status, 200);
  });

  await t.test('a publish token', async () => {
    const bearer = (token) => ({ Authorization: `Bearer ${token}` });
    assert.equal((await hook('token', UPDATED, bearer(TOKENS.publish))).status, 200);
    assert.equal((await hook('token', UPDATED, bearer(TOKENS.follow))).status, 403);
    assert.equal((await hook('token', UPDATED, bearer('nothing'))).status, 401);
    assert.equal((await hook('token', UPDATED)).status, 401);
  });

  await t.test('newsreel hooks send signs as each provider would', async () => {
    const folder = temporaryFolder(t);
    const [config, file] = [join(folder, 'wrangler.jsonc'), join(folder, 'message.json')];
    writeFileSync(config, JSON.stringify({ vars: { HOOKS } }));
    const seed = privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-32);
    writeFileSync(join(folder, '.dev.vars'), `PUBLIC="whsk_${seed.toString('base64')}"\nGH=${HOOK_SECRETS.GH}\n`);
    const env = { ...process.env, ...HOOK_SECRETS, GH: '', NEWSREEL_TOKEN: TOKENS.publish };
    const send = (name, body, ...words) => {
      writeFileSync(file, body);
      const flags = ['--config', config, '--broker', broker.url, ...words];
      return runToEnd(NEWSREEL, ['hooks', 'send', name, file, ...flags], { env });
    };
    for (const [name, body] of [
      ['standard', UPDATED], ['asymmetric', UPDATED], ['github', UPDATED], ['slack', UPDATED], ['dato', '{"entity":{"attributes":{"tags":["x"]}}}'],
      ['twitch', '{"event":{"broadcaster_user_id":"1"}}'], ['partner', '{"items":[{"id":"9"}]}'], ['token', UPDATED],
    ]) {
      const before = await head();
      const sent = await send(name, body);
      assert.equal(sent.code, 0, `${name}: ${sent.stderr}`);
      assert.equal(JSON.parse(sent.stdout).receipts[0].version, before + 1, name);
    }
    const ping = await send('github', '{}', '--header', 'X-GitHub-Event=ping');
    assert.match(ping.stdout, /^204/);
    const dry = await send('standard', UPDATED, '--dry-run', '--id', 'mine');
    assert.match(dry.stdout, /^webhook-id: mine$/m);
    const unknown = await send('nothing', UPDATED);
    assert.deepEqual([unknown.code, /standard/.test(unknown.stderr)], [3, true], unknown.stderr);
    const unset = await send('unset', UPDATED);
    assert.deepEqual([unset.code, /NOWHERE/.test(unset.stderr)], [3, true], unset.stderr);
    const poison = await send('standard', 'poison');
    assert.deepEqual([poison.code, /not-mapped/.test(poison.stderr)], [4, true], poison.stderr);
  });

  await t.test('CloudEvents at the publish address: structured, batch, binary', async () => {
    const token = { Authorization: `Bearer ${TOKENS.publish}` };
    const event = (id) => ({ specversion: '1.0', id, source: '/guide', type: 'title.updated', data: { titleId: id } });
    const publish = (body, headers) => post(broker, 'tv/changes', body, { ...token, ...headers });
    const structured = await publish(JSON.stringify(event('1')), { 'Content-Type': 'application/cloudevents+json; charset=utf-8' });
    assert.equal(structured.status, 200, structured.text);
    assert.deepEqual(await newest(), [{ key: 'title:1' }]);
    const batch = JSON.stringify([event('2'), event('3')]);
    const batched = await publish(batch, { 'Content-Type': 'application/cloudevents-batch+json' });
    assert.equal(batched.status, 200, batched.text);
    assert.deepEqual(await newest(), [{ key: 'title:2' }, { key: 'title:3' }]);
    const binary = { 'ce-specversion': '1.0', 'ce-id': '4', 'ce-source': '/guide', 'ce-type': 'title.updated' };
    const before = await head();
    for (let time = 0; time < 3; time += 1) {
      const answer = await publish('{"titleId":"4"}', binary);
      assert.equal(answer.status, 200, answer.text);
    }
    assert.deepEqual(await newest(), [{ key: 'title:4' }]);
    assert.equal(await head(), before + 1, 'source and id are those of one event');
    const plain = await publish('{"key":"title:5"}');
    assert.equal(plain.body.version, before + 2, 'a publish stays one');
    for (const headers of [{}, { Authorization: 'Bearer no' }]) {
      const answer = await post(broker, 'tv/changes', '{"titleId":"4"}', { ...binary, ...headers });
      assert.equal(answer.status, 401);
    }
  });
});

test('the HTTP sink of Debezium Server publishes as it is', async (t) => {
  const map = [{ from: 'inventory.titles', format: 'debezium', key: 'title:{id}', also: [{ tag: 'owner:{owner}' }] }];
  const changes = { scheme: 'standard-webhooks', secret: 'STD', map };
  const broker = await startBroker(t, { HOOKS: JSON.stringify({ changes }), ...HOOK_SECRETS });
  const source = { connector: 'postgresql', db: 'guide', schema: 'inventory', table: 'titles' };
  const sent = async (id, envelope) => {
    const body = JSON.stringify(envelope);
    // `StandardWebhooksAuthenticator` of debezium-server-http: JSON, and the three headers.
    return post(broker, 'tv/changes', body, SIGNERS.standard(body, { id: `msg_${id}` }));
  };
  const changesOf = async () => (await broker.changes('?since=0')).json.versions.map((one) => one.changes);
  const row = { id: 7, owner: 'a' };
  for (const [id, envelope] of [
    ['1', { op: 'c', before: null, after: row, source }],
    ['2', { schema: {}, payload: { op: 'u', before: row, after: { id: 7, owner: 'b' }, source } }],
    ['3', { op: 'd', before: row, after: null, source }],
    ['3', { op: 'd', before: row, after: null, source }],
  ]) {
    const answer = await sent(id, envelope);
    assert.equal(answer.status, 200, answer.text);
  }
  assert.deepEqual(await changesOf(), [
    [{ key: 'title:7' }, { tag: 'owner:a' }],
    [{ key: 'title:7' }, { tag: 'owner:a' }, { tag: 'owner:b' }],
    [{ key: 'title:7', op: 'remove' }, { tag: 'owner:a' }],
  ]);
  const unsigned = await post(broker, 'tv/changes', '{"op":"c"}', { 'webhook-signature': 'v1,AAAA' });
  assert.equal(unsigned.status, 401);
});

test('a deployment that declares hooks wrongly says so, and serves the rest', async (t) => {
  const broker = await startBroker(t, {
    HOOKS: JSON.stringify({ gh: { scheme: 'github', secret: 'GH', map: [{ key: 'title:{id' }] } }),
    ...HOOK_SECRETS,
  });
  const answer = await post(broker, 'tv/hooks/gh', '{}', SIGNERS.github('{}'));
  assert.deepEqual([answer.status, answer.body.code], [500, 'misconfigured']);
  assert.match(answer.body.detail, /HOOKS\.gh\.map, table 1, key: /);
  await broker.publish({ key: 'title:1' });
});

test('a hook has the rate of a publisher', async (t) => {
  const hooks = { gh: { scheme: 'github', secret: 'GH', map: [TITLES] } };
  const broker = await startBroker(t, { HOOKS: JSON.stringify(hooks), PUBLISH_PER_SECOND: '5', ...HOOK_SECRETS });
  const many = async (count, headers) => {
    const sent = Array.from({ length: count }, () => post(broker, 'tv/hooks/gh', UPDATED, headers));
    return (await Promise.all(sent)).map(({ status }) => status);
  };
  const statuses = await many(40, SIGNERS.github(UPDATED));
  assert.ok(statuses.includes(200) && statuses.includes(429), statuses.join());
});
