// The examples of the documents: every `sh` block is run against `scripts/dev`, and prints what the block after it says.
//
// A block that says `sh norun` is left out. A block that says `text prints` is the expected output of the block before it:
// `…` stands for any text within a line, and alone on a line for any lines.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

import { startDev } from './dev.mjs';
import { NEWSREEL, ROOT, temporaryFolder } from './system.mjs';

const DOCUMENTS = [
  'README.md', 'docs/quick-start.md', 'docs/http.md', 'docs/operations.md', 'docs/security.md', 'docs/ci.md',
  'docs/migrate/back-out.md',
];
/** Documents whose links are checked, and whose examples are not run. */
const OTHER_DOCUMENTS = [
  ...readdirSync(join(ROOT, 'docs'), { recursive: true }).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`),
  'examples/deploy/README.md',
  'examples/terraform/README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'crates/core/PROTOCOL.md',
];
/** Where the documents say that `scripts/dev` listens: broker and edge, and the origin. */
const DOCUMENTED_PORTS = { deployment: 8787, origin: 8788 };
/** Stands in the output of a document's shell between two blocks, with the exit code of the first. */
const BOUNDARY = '\u001enewsreel-block-ended';

/** Returns the blocks of a document that are run: their line, their code, and what they are to print, if it says so. */
function examples(text) {
  const blocks = [...text.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].map((match) => ({
    kind: match[1].trim(),
    text: match[2],
    line: text.slice(0, match.index).split('\n').length,
  }));
  return blocks.flatMap((block, at) => {
    if (block.kind !== 'sh') return [];
    const next = blocks[at + 1];
    return [{ line: block.line, code: block.text, prints: next?.kind === 'text prints' ? next.text : undefined }];
  });
}

/** Returns the pattern of an expected output, whose lines all end with a line feed. */
function pattern(text) {
  const escape = (part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const lines = text.trimEnd().split('\n').map((line) => {
    if (line.trim() === '…') return '(?:.*\\n)*?';
    return `${line.split('…').map(escape).join('.*')}\\n`;
  });
  return new RegExp(`^${lines.join('')}$`);
}

/** Runs all blocks of a document in one shell, as a reader would, and returns the output and exit code of each. */
async function runBlocks(blocks, port, folder) {
  const here = (code) =>
    code
      .replaceAll(`127.0.0.1:${DOCUMENTED_PORTS.deployment}`, `127.0.0.1:${port}`)
      .replaceAll(`127.0.0.1:${DOCUMENTED_PORTS.origin}`, `127.0.0.1:${port + 1}`);
  const script = blocks.map(({ code }) => `${here(code)}\nprintf '%s %s\\n' "${BOUNDARY}" $?\n`).join('');
  const shell = spawn('bash', ['-o', 'pipefail', '-s'], {
    cwd: folder,
    env: {
      ...process.env,
      PATH: `${dirname(NEWSREEL)}:${process.env.PATH}`,
      NEWSREEL_BROKER: `http://127.0.0.1:${port}`,
    },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let output = '';
  let complaints = '';
  shell.stdout.setEncoding('utf8').on('data', (text) => (output += text));
  shell.stderr.setEncoding('utf8').on('data', (text) => (complaints += text));
  shell.stdin.end(script);
  await once(shell, 'close');
  const parts = output.split(new RegExp(`${BOUNDARY} (\\d+)\\n`));
  return blocks.map((block, at) => ({ ...block, output: parts[2 * at], code: Number(parts[2 * at + 1]), complaints }));
}

test('the examples of the documents do what they say', async (t) => {
  const { port } = await startDev(t);
  for (const document of DOCUMENTS) {
    const blocks = examples(readFileSync(join(ROOT, document), 'utf8'));
    assert.ok(blocks.length > 0, `${document} has examples`);
    for (const { line, output, code, prints, complaints } of await runBlocks(blocks, port, temporaryFolder(t))) {
      await t.test(`${document}:${line}`, () => {
        assert.equal(code, 0, `exit code; it printed:\n${output}\nand the document's shell said:\n${complaints}`);
        if (!prints?.includes('"code":')) assert.doesNotMatch(output, /urn:newsreel:problem/);
        if (prints !== undefined) assert.match(`${output.replaceAll('\r', '').trimEnd()}\n`, pattern(prints));
      });
    }
  }
});

test('the links of the documents lead somewhere', () => {
  for (const document of [...DOCUMENTS, ...OTHER_DOCUMENTS]) {
    const text = readFileSync(join(ROOT, document), 'utf8');
    for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [path, anchor] = target.split('#');
      const file = path === '' ? join(ROOT, document) : join(ROOT, dirname(document), path);
      assert.ok(existsSync(file), `${document}: ${target} does not exist`);
      if (anchor === undefined) continue;
      assert.ok(anchors(readFileSync(file, 'utf8')).has(anchor), `${document}: ${target} has no such heading`);
    }
  }
});

/** Returns the anchors that GitHub gives the headings of a document. */
function anchors(text) {
  const headings = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => heading);
  return new Set(headings.map((heading) => heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-')));
}
