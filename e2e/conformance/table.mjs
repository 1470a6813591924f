// Prints what the checks found: a table, what went wrong, totals; or JSON lines.

import { inspect } from 'node:util';

const HEADINGS = ['id', 'section', 'what', 'result', 'time'];

/** The table, each failure with what was expected and seen, and the totals. */
export function table(results) {
  const rows = results.map(({ id, section, what, result, reason, ms }) => [
    id, section, what, result === 'skipped' ? `skipped: ${reason}` : result, `${ms} ms`,
  ]);
  const lines = columns([HEADINGS, ...rows]);
  for (const one of results.filter(({ result }) => result === 'FAILED')) {
    lines.push('', `FAILED ${one.id} (${one.section}): ${one.what}`, `  ${one.reason}`);
    if ('expected' in one) lines.push(`  expected: ${shown(one.expected)}`, `  seen:     ${shown(one.seen)}`);
  }
  return [...lines, '', totals(results)].join('\n');
}

/** One JSON text for each check. */
export function jsonLines(results) {
  return results
    .map(({ id, section, what, result, ms, reason, ...rest }) => {
      const [expected, seen] = [rest.expected, rest.seen].map((value) => ('expected' in rest ? shown(value) : undefined));
      return JSON.stringify({ id, section, what, result, ms, reason, expected, seen });
    })
    .join('\n');
}

export function list(checks) {
  const rows = checks.map(({ id, section, what, needs }) => [id, section, what, needs.join(', ')]);
  return columns([['id', 'section', 'what', 'needs'], ...rows]).join('\n');
}

export function totals(results) {
  const count = (wanted) => results.filter(({ result }) => result === wanted).length;
  return `${results.length} checks: ${count('ok')} ok, ${count('FAILED')} failed, ${count('skipped')} skipped`;
}

function columns(rows) {
  const widths = rows[0].map((_, n) => Math.max(...rows.map((row) => row[n].length)));
  return rows.map((row) => row.map((cell, n) => cell.padEnd(widths[n])).join('  ').trimEnd());
}

function shown(value) {
  const most = { depth: 6, breakLength: 100, maxArrayLength: 20, maxStringLength: 500 };
  const text = typeof value === 'string' ? value : inspect(value, most);
  return (text.length > 1500 ? `${text.slice(0, 1500)}…` : text).replaceAll('\n', '\n            ');
}
