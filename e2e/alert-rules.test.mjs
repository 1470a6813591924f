// The rules of alerts as Prometheus reads them, judged by the real `promtool`.

import { strictEqual as same, ok } from 'node:assert';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { findPromtool } from './promtool.mjs';
import { ROOT, temporaryFolder } from './system.mjs';

const RULES = join(ROOT, 'docs/prometheus-rules.yml');
const promtool = findPromtool();
const on = { skip: promtool ? false : 'no promtool here, and no package of it' };

/** Has promtool judge series by the rules, without their texts; fails with what it says. */
function judged(t, tests) {
  const folder = temporaryFolder(t);
  const [rules, file] = [join(folder, 'rules.yml'), join(folder, 'tests.json')];
  writeFileSync(rules, readFileSync(RULES, 'utf8').replace(/^ +annotations:\n +summary: .*\n +description: .*\n/gm, ''));
  // JSON is YAML.
  writeFileSync(file, JSON.stringify({ rule_files: [rules], evaluation_interval: '1m', tests }));
  const { status, stdout, stderr } = spawnSync(promtool, ['test', 'rules', file], { encoding: 'utf8' });
  same(status, 0, `${stdout}${stderr}`);
}

const reads = (values) => ({ series: 'newsreel_reads_total{catalog="tv",edge="fra",class="title"}', values });
const hits = (values) => ({ series: 'newsreel_tier_total{catalog="tv",edge="fra",class="title",tier="memory",outcome="hit"}', values });

/** The names and severities that fire at a minute. */
function firing(series, alertname, at, severities) {
  const exp_alerts = severities.map((severity) => ({
    exp_labels: { severity, catalog: 'tv', edge: 'fra', ...(alertname === 'NewsreelKvTodo' ? {} : { class: 'title' }) },
  }));
  return { interval: '1m', input_series: series, alert_rule_test: [{ eval_time: at, alertname, exp_alerts }] };
}

test('promtool takes the rules', on, () => {
  const said = execFileSync(promtool, ['check', 'rules', RULES], { encoding: 'utf8' });
  ok(/SUCCESS: 18 rules found/.test(said), said);
});

test('a hit rate that falls is a warning, then critical, and each alone', on, (t) => {
  judged(t, [
    firing([reads('0+600x30'), hits('0+590x30')], 'NewsreelHitRate', '20m', []),
    firing([reads('0+600x30'), hits('0+510x30')], 'NewsreelHitRate', '20m', ['warning']),
    firing([reads('0+600x30'), hits('0+300x30')], 'NewsreelHitRate', '20m', ['critical']),
    firing([{ series: 'newsreel_kv_todo{catalog="tv",edge="fra"}', values: '60000x30' }], 'NewsreelKvTodo', '10m', ['critical']),
  ]);
});

test('the dashboard names only metrics that the rules name', () => {
  const dashboard = JSON.parse(readFileSync(join(ROOT, 'docs/grafana-dashboard.json'), 'utf8'));
  const rules = readFileSync(RULES, 'utf8');
  const named = (text) => [...text.matchAll(/newsreel_\w+/g)].map(([name]) => name);
  const known = new Set(named(rules));
  same(dashboard.panels.length, 9);
  for (const panel of dashboard.panels) {
    for (const name of named(panel.targets[0].expr)) ok(known.has(name), name);
    same(panel.fieldConfig.defaults.thresholds.steps.length, 3);
  }
});
