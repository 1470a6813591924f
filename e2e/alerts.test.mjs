// The alerts of a catalog: what edges tell, what is shown, and the messages that receivers get.

import { deepStrictEqual as sameAll, ok, strictEqual as same } from 'node:assert';
import { test } from 'node:test';

import { checkSignature, CLASSES, Receiver, SECRET } from './receiver.mjs';
import { Served } from './served.mjs';
import { newsreel, TOKENS } from './system.mjs';

async function started(t) {
  const [receiver, slack] = [await Receiver.start(t), await Receiver.start(t)];
  const hooks = [
    { url: receiver.url, secret: 'ALERT_SECRET' },
    { url_secret: 'SLACK_URL', form: 'slack' },
  ];
  const vars = { ALERT_HOOKS: JSON.stringify(hooks), ALERT_SECRET: SECRET, SLACK_URL: slack.url };
  const served = await Served.at(t, { vars, classes: CLASSES });
  const { broker } = await served.start();
  return { served, broker, receiver, slack };
}

const told = (level, value) => ({ rule: 'hit-rate', class: 'title', level, at: Date.now(), value, threshold: 0.9 });
const tell = async (broker, edge, ...transitions) => {
  const answer = await broker.call('POST', '/alerts', { token: TOKENS.admin, body: JSON.stringify({ edge, transitions }) });
  same(answer.status, 200, answer.text);
  return answer.json.notices;
};
const shown = async (broker) => (await broker.call('GET', '/alerts', { token: TOKENS.admin })).json;

test('many edges are one alert, and each change of it one signed message', { timeout: 60_000 }, async (t) => {
  const { broker, receiver, slack } = await started(t);
  same(await tell(broker, 'fra', told('warning', 0.85)), 1);
  same(await tell(broker, 'ams', told('warning', 0.84)), 0);
  same(await tell(broker, 'ams', told('critical', 0.4)), 1);
  const { alerts: [alert], receivers } = await shown(broker);
  sameAll([alert.severity, alert.edges, alert.value], ['critical', ['ams', 'fra'], 0.4]);
  sameAll(receivers.map(({ name }) => name), [receiver.url.replace('?secret=1', ''), 'SLACK_URL']);
  await tell(broker, 'fra', told('ok', 0.95));
  same(await tell(broker, 'ams', told('ok', 0.95)), 1);
  const messages = await receiver.has(3);
  for (const message of messages) checkSignature(message);
  sameAll(messages.map(({ json }) => json.type), ['newsreel.alert.raised', 'newsreel.alert.worse', 'newsreel.alert.resolved']);
  same(new Set(messages.map(({ headers }) => headers['webhook-id'])).size, 3);
  ok(/^\d{4}-\d\d-\d\dT.*Z$/.test(messages[0].json.timestamp), messages[0].json.timestamp);
  same(messages[0].json.data.catalog, 'tv');
  const [first] = await slack.has(3);
  ok(/^:large_yellow_circle: \*tv\* raised: hit-rate of class title at fra: 85\.0 %/.test(first.json.text), first.json.text);
  same(first.headers['webhook-signature'], undefined);
});

test('a message that did not arrive comes again under its name, in order, after a kill too', { timeout: 60_000 }, async (t) => {
  const { served, broker, receiver } = await started(t);
  receiver.answers.push(500);
  await tell(broker, 'fra', told('warning', 0.85));
  await receiver.has(1);
  await tell(broker, 'fra', told('critical', 0.2));
  let { receivers: [queue] } = await shown(broker);
  same(queue.waiting, 2);
  ok(/answered 500/.test(queue.last_failure), queue.last_failure);
  await served.kill();
  await served.start();
  const messages = await receiver.has(3);
  const ids = messages.map(({ headers }) => headers['webhook-id']);
  same(ids[0], ids[1]);
  sameAll(messages.map(({ json }) => json.type), ['newsreel.alert.raised', 'newsreel.alert.raised', 'newsreel.alert.worse']);
  const { alerts: [alert] } = await shown(broker);
  same(alert.severity, 'critical');
});

test('the command shows what is open, and tries receivers out', { timeout: 60_000 }, async (t) => {
  const { broker, receiver } = await started(t);
  const at = ['--broker', broker.url, '--token', TOKENS.admin];
  const none = await newsreel('alerts', '--check', ...at);
  sameAll([none.code, none.stdout], [0, '']);
  await newsreel('alerts', 'test', ...at);
  const [message] = await receiver.has(1);
  checkSignature(message);
  same(message.json.data.alert.rule, 'test');
  await tell(broker, 'fra', told('critical', 0.2));
  const open = await newsreel('alerts', '--check', ...at);
  same(open.code, 1);
  ok(/^critical\t.*Z\thit-rate of class title at fra: 20\.0 %, beyond 90\.0 %\./.test(open.stdout), open.stdout);
  await tell(broker, 'fra', told('ok', 0.97));
  const over = await newsreel('alerts', '--all', ...at);
  ok(/^over since .*hit-rate of class title is well again: 97\.0 %/.test(over.stdout), over.stdout);
});

test('reports that are none are refused with what to write, and tokens that are no admin’s', { timeout: 60_000 }, async (t) => {
  const { broker } = await started(t);
  const post = (body, token = TOKENS.admin) => broker.call('POST', '/alerts', { token, body });
  for (const body of ['', '{}', '[]', '{"edge":"fra"}', '{"edge":"","transitions":[]}', '{"edge":"fra","transitions":[{"rule":"x"}]}']) {
    same((await post(body)).json.code, 'bad-json', body);
  }
  for (const token of ['', TOKENS.publish, TOKENS.follow]) ok([401, 403].includes((await post('{"test":true}', token)).status));
  const without = await Served.at(t);
  await without.start();
  const answer = await without.broker.call('GET', '/alerts', { token: TOKENS.admin });
  same(answer.status, 404);
  ok(/bind ALERT_BOARD/.test(answer.json.detail), answer.text);
});
