// The alert `source-late`: a real `newsreel source` whose API fails, and one that is killed.

import { deepStrictEqual as sameAll, ok, strictEqual as same } from 'node:assert';
import { test } from 'node:test';

import { Api, HttpSource } from './api.mjs';
import { checkSignature, CLASSES, Receiver, SECRET } from './receiver.mjs';
import { Served } from './served.mjs';
import { until } from './source.mjs';
import { newsreel, TOKENS } from './system.mjs';

/** A source is late after half a second here, and reports every second. */
const ALERTS = { 'source-late': { warning: 500, critical: 3_600_000 } };
const STEP_MS = 60_000;
const NAME = 'partner';

const MAP = (url) => `[[feed]]
name = "films"
kind = "updated-since"
url = "${url}/changes?since={since}"
items = "/results"
repeat = "1 h"
every = "100 ms"

[[map]]
from = "films"
key = "film:{id}"
`;

/** A source, its API, and a deployment on a clock that the test moves, with a receiver of alerts. */
class WatchedSource {
  /** What the API answers. */
  apiStatus = 200;

  static async start(t) {
    const receiver = await Receiver.start(t);
    const vars = {
      ALERTS: JSON.stringify(ALERTS),
      ALERT_HOOKS: JSON.stringify([{ url: receiver.url, secret: 'ALERT_SECRET' }]),
      ALERT_SECRET: SECRET,
    };
    const { broker } = await (await Served.at(t, { vars, classes: CLASSES, around: 'alerts.worker.mjs' })).start();
    const watched = Object.assign(new WatchedSource(), { receiver, broker });
    const api = await Api.start(t, () => ({ status: watched.apiStatus, body: { results: [] } }));
    const flags = ['--tell-every-s', '1', '--source-name', NAME];
    watched.source = new HttpSource(t, { broker, map: MAP(api.url), flags }).start();
    await watched.reports();
    return watched;
  }

  /** Waits until the source has reported again, and returns what is shown of it. */
  async reports() {
    const before = (await this.shown()).sources[0]?.heard_at ?? 0;
    let found;
    const isNew = async () => (found = (await this.shown()).sources[0])?.heard_at > before;
    await until(isNew, () => `a report; the source says\n${this.source.log}`);
    return found;
  }

  /** Lets a minute pass, with a report after it. */
  async step() {
    await this.pass(STEP_MS);
    await this.reports();
  }

  /** Lets minutes pass until so many messages have come, and returns the last. */
  async stepsUntil(count) {
    while (this.receiver.messages.length < count) await this.step();
    return this.receiver.messages[count - 1];
  }

  pass = (ms) => this.post('/clock', ms);
  ringBoard = () => this.post('/ring?of=ALERT_BOARD', 'tv');

  async shown() {
    return (await this.broker.call('GET', '/alerts', { token: TOKENS.admin })).json;
  }

  async open() {
    return (await this.shown()).alerts.filter(({ resolved_at: at }) => at === undefined);
  }

  async post(path, body) {
    const answer = await fetch(this.broker.url + path, { method: 'POST', body: String(body) });
    ok(answer.ok, `${path}: ${await answer.text()}`);
  }
}

/** Checks that a message is about the source, and returns its alert. */
function alertOf(message, type) {
  const { rule, class: of, edges, severity, ...alert } = message.json.data.alert;
  sameAll([message.json.type, message.json.data.catalog, rule, of, severity], [`newsreel.alert.${type}`, 'tv', 'source-late', undefined, 'warning']);
  sameAll(edges, type === 'resolved' ? [] : [NAME]);
  checkSignature(message, alert.resolved_at ?? alert.since);
  return alert;
}

test('a source whose API fails is late, and well again when the API is', { timeout: 90_000 }, async (t) => {
  const watched = await WatchedSource.start(t);
  const { source } = watched;
  const { name, late_ms: late } = await watched.reports();
  ok(name === NAME && late < 500, `${name} is ${late} ms late`);
  await watched.step();
  await watched.step();
  sameAll(await watched.open(), [], 'nothing is wrong');

  watched.apiStatus = 500;
  await until(async () => (await watched.reports()).late_ms > 500, () => source.log);
  const alert = alertOf(await watched.stepsUntil(1), 'raised');
  ok(alert.value > 500 && alert.says.startsWith(`source-late at ${NAME}: `), alert.says);

  watched.apiStatus = 200;
  await until(async () => (await watched.reports()).late_ms === 0, () => source.log);
  const { id, since, resolved_at: at } = alertOf(await watched.stepsUntil(2), 'resolved');
  same(id, alert.id);
  ok(at - since >= 300_000, `${at - since} ms`);
});

test('a source that is killed is later by every second, until it is started again or forgotten', { timeout: 90_000 }, async (t) => {
  const watched = await WatchedSource.start(t);
  const { broker, receiver, source } = watched;
  await source.kill();
  await watched.pass(10_000);
  await watched.ringBoard();
  sameAll(await watched.open(), [], 'its next report may be late');
  await watched.pass(61_000);
  await watched.ringBoard();
  const [raised] = await receiver.has(1);
  const alert = alertOf(raised, 'raised');
  ok(alert.value >= 70_000 && alert.value < 100_000, `${alert.value}`);

  source.start();
  await watched.reports();
  same(alertOf(await watched.stepsUntil(2), 'resolved').id, alert.id);

  await source.kill();
  await watched.pass(10_000);
  await watched.ringBoard();
  await watched.pass(61_000);
  await watched.ringBoard();
  await receiver.has(3);
  const at = ['--broker', broker.url, '--token', TOKENS.admin];
  same((await newsreel('alerts', 'forget', NAME, ...at)).code, 0);
  await receiver.has(4);
  sameAll([(await watched.shown()).sources, await watched.open()], [[], []]);
  const again = await newsreel('alerts', 'forget', NAME, ...at);
  ok(again.code !== 0 && /no source is called "partner"/.test(again.stderr), again.stderr);
});

test('who may not publish may not tell of sources, and reports that are none are refused', { timeout: 60_000 }, async (t) => {
  const { broker } = await (await Served.at(t, { classes: CLASSES })).start();
  const report = { source: NAME, late_ms: 1, again_ms: 1_000 };
  const tell = (body, token = TOKENS.publish) => broker.call('POST', '/sources', { token, body: JSON.stringify(body) });
  same((await tell(report, '')).status, 401);
  same((await tell(report, TOKENS.follow)).status, 403);
  sameAll((await tell(report)).json, { notices: 0 });
  for (const bad of [{}, [], { ...report, source: '' }, { ...report, again_ms: 0 }, { ...report, late_ms: -1 }, { ...report, source: 'x'.repeat(257) }]) {
    same((await tell(bad)).json.code, 'bad-json', JSON.stringify(bad));
  }
  const without = await (await Served.at(t)).start();
  same((await without.broker.call('POST', '/sources', { token: TOKENS.publish, body: JSON.stringify(report) })).status, 404);
});
