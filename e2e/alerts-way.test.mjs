// The whole way of an alert: readers get bad answers, their edge judges its series, and the board's signed messages arrive.

import { deepStrictEqual as sameAll, ok, strictEqual as same } from 'node:assert';
import { test } from 'node:test';

import { until } from './edge.mjs';
import { startValues } from './origin.mjs';
import { startLine } from './proxy.mjs';
import { checkSignature, CLASSES, Receiver, SECRET } from './receiver.mjs';
import { Served } from './served.mjs';
import { newsreel, TOKENS } from './system.mjs';

/** A measurement is of a minute and of few reads. How long this machine takes to answer is not judged. */
const SHORT = { window_s: 60, least: 20 };
const ALERTS = { 'hit-rate': SHORT, 'stale-answers': SHORT, 'origin-fallback': SHORT, 'read-p99': { off: true } };
/** How much time passes from one alarm of a replica to the next. */
const STEP_MS = 30_000;
/** How often each key is read in that time: two of them are enough for a measurement. */
const READS = 12;

/** An edge with readers, on a clock that the test moves, and a receiver of its alerts. */
class WatchedEdge {
  passed = 0;

  static async start(t) {
    const [receiver, origin] = [await Receiver.start(t), await startValues(t)];
    const vars = {
      ORIGIN_URL: origin.url,
      ALERTS: JSON.stringify(ALERTS),
      ALERT_HOOKS: JSON.stringify([{ url: receiver.url, secret: 'ALERT_SECRET' }]),
      ALERT_SECRET: SECRET,
    };
    const { broker } = await (await Served.at(t, { vars, classes: CLASSES, around: 'alerts.worker.mjs' })).start();
    return Object.assign(new WatchedEdge(), { broker, receiver, origin });
  }

  /** Lets half a minute pass, reads each key some times, and has the replica judge. Returns the statuses that were answered. */
  async step(keys) {
    await this.#post('/clock', STEP_MS);
    this.passed += STEP_MS;
    const statuses = new Set();
    for (let n = 0; n < READS; n += 1) {
      for (const key of keys) statuses.add((await this.broker.read(key)).status);
    }
    // The readers have reported when this is answered.
    same((await this.broker.call('GET', '/metrics', { token: TOKENS.admin })).status, 200);
    await this.#post('/ring?of=REPLICA', 'tv@e2e');
    return [...statuses];
  }

  async steps(count, keys) {
    for (let n = 0; n < count; n += 1) await this.step(keys);
  }

  async shown() {
    return (await this.broker.call('GET', '/alerts', { token: TOKENS.admin })).json.alerts;
  }

  async #post(path, body) {
    const answer = await fetch(this.broker.url + path, { method: 'POST', body: String(body) });
    ok(answer.ok, `${path}: ${await answer.text()}`);
  }
}

/** What a message says, without its moments and its advice. */
function told({ json: { type, data: { catalog, alert } } }) {
  const { rule, class: of, severity, edges, value, threshold } = alert;
  return [type.replace('newsreel.alert.', ''), catalog, rule, of, severity, edges.join(), value, threshold];
}

test('an origin that fails is told of by class, rule, edge and value, and so is that it is over', { timeout: 120_000 }, async (t) => {
  const edge = await WatchedEdge.start(t);
  const { broker, origin, receiver } = edge;
  const at = ['--broker', broker.url, '--token', TOKENS.admin];
  origin.set('title:1', 'old');
  origin.set('fare:1', 'cheap');
  await edge.steps(3, ['title:1']);
  sameAll(await edge.shown(), [], 'nothing is wrong');

  // A change that nobody can fetch: the old value is served, marked. Another class has no old value.
  origin.fail(503);
  await broker.publish({ key: 'title:1', soft: true });
  const keys = ['title:1', 'fare:1'];
  sameAll(await edge.step(keys), [200, 502]);
  await edge.step(keys);
  sameAll(await edge.shown(), [], 'half a minute of it is not told of');
  await edge.steps(2, keys);
  const raised = [...(await receiver.has(4))];
  sameAll(raised.map(told).sort(), [
    ['raised', 'tv', 'hit-rate', 'fare', 'critical', 'e2e', 0, 0.8],
    ['raised', 'tv', 'hit-rate', 'title', 'critical', 'e2e', 0, 0.8],
    ['raised', 'tv', 'origin-fallback', 'fare', 'critical', 'e2e', 1, 0.2],
    ['raised', 'tv', 'stale-answers', 'title', 'critical', 'e2e', 1, 0.25],
  ]);
  for (const message of raised) checkSignature(message, message.json.data.alert.since);
  const stale = raised.find(({ json }) => json.data.alert.rule === 'stale-answers').json.data.alert;
  ok(stale.says.startsWith('stale-answers of class title at e2e: 100.0 %, beyond 25.0 %. '), stale.says);
  const { code, stdout } = await newsreel('alerts', '--check', ...at);
  sameAll([code, stdout.trim().split('\n').length], [1, 4], stdout);

  // The origin is there again. A minute later no measurement has a bad read, and five minutes of such are to pass.
  origin.fail(undefined);
  await edge.steps(9, keys);
  same(receiver.messages.length, 4, 'neither again nor too early');
  await edge.steps(6, keys);
  const over = (await receiver.has(8)).slice(4);
  sameAll(over.map(({ json }) => json.type), Array(4).fill('newsreel.alert.resolved'));
  for (const message of over) {
    const { id, resolved_at: at, since, value, rule } = message.json.data.alert;
    checkSignature(message, at);
    ok(raised.some(({ json }) => json.data.alert.id === id), id);
    ok(at - since >= 300_000 && at - since <= 600_000, `${at - since} ms`);
    same(value, rule === 'hit-rate' ? 1 : 0);
  }
  same((await newsreel('alerts', '--check', ...at)).code, 0);
});

test('an edge that was cut off from the broker of another deployment tells of it once the line is back', { timeout: 120_000 }, async (t) => {
  const [receiver, origin] = [await Receiver.start(t), await startValues(t)];
  const hooks = { ALERT_HOOKS: JSON.stringify([{ url: receiver.url, secret: 'ALERT_SECRET' }]), ALERT_SECRET: SECRET };
  const near = await (await Served.at(t, { vars: hooks, classes: CLASSES })).start();
  const line = await startLine(t, Number(new URL(near.broker.url).port));
  const vars = { EDGE: 'far', ORIGIN_URL: origin.url, BROKER_URL: line.url, BROKER_TOKEN: TOKENS.admin };
  const { broker: far } = await (await Served.at(t, { vars, classes: CLASSES, around: 'alerts.worker.mjs' })).start();
  const post = (path, body) => fetch(far.url + path, { method: 'POST', body });
  const step = async () => {
    await post('/clock', '60000');
    const { headers } = await far.read('title:1');
    await post('/ring?of=REPLICA', 'tv@far');
    return headers.get('newsreel-freshness');
  };
  const open = async () => (await near.broker.call('GET', '/alerts', { token: TOKENS.admin })).json.alerts;

  origin.set('title:1', 'here');
  ok(/^fresh/.test(await step()));
  line.cut('close');
  for (let n = 0; n < 5; n += 1) await step();
  sameAll(await open(), [], 'the board is behind the same line');
  line.mend();
  const followers = async () => (await near.broker.call('GET', '/followers', { token: TOKENS.admin })).json.followers;
  await until(async () => (await followers()).some(({ name }) => name === 'far'), 'the edge follows again', 30_000);
  while (receiver.messages.length === 0) await step();
  const [message] = receiver.messages;
  checkSignature(message);
  const { rule, edges, severity, value, threshold } = message.json.data.alert;
  sameAll([message.json.type, rule, edges, severity, threshold], ['newsreel.alert.raised', 'edge-gone', ['far'], 'warning', 120_000]);
  ok(value > 120_000 && value < 600_000, `${value} ms`);
  while (receiver.messages.length === 1) await step();
  same(receiver.messages[1].json.type, 'newsreel.alert.resolved');
});
