// Old and new together: what the first protocol's clients and brokers said is said again, to this build.
//
// docs/upgrades.md has the rules. e2e/transcripts/v1 was recorded once, by the first release.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';

import { startSystem } from './system.mjs';
import { Client, Comparison, read } from './transcripts/player.mjs';

const V1 = new URL('./transcripts/v1/', import.meta.url);
const TRANSCRIPTS = readdirSync(V1).filter((file) => file.endsWith('.jsonl')).map((file) => read(new URL(file, V1)));

/** Whether a line is something that was heard. */
const isHeard = (line) => line.answer !== undefined || line.opened !== undefined || line.from !== undefined;

/** Plays the client's side of a transcript, comparing what it hears. */
async function play(system, { head, lines }) {
  const [client, comparison] = [new Client(system, head.catalog), new Comparison()];
  for (const [index, line] of lines.entries()) {
    if (isHeard(line)) continue;
    const next = lines.findIndex((other, at) => at > index && !isHeard(other));
    const recorded = lines.slice(index + 1, next < 0 ? undefined : next);
    try {
      comparison.lines(recorded, (await client.does(comparison.line(line))) ?? []);
    } catch (error) {
      error.message = `${head.transcript}:${index + 2}, ${JSON.stringify(line).slice(0, 200)}: ${error.message}`;
      throw error;
    }
  }
  client.end();
}

test("a first client's conversations with this broker", async (t) => {
  const groups = Map.groupBy(TRANSCRIPTS, ({ head }) => JSON.stringify(head.vars));
  for (const [vars, transcripts] of groups) {
    const system = await startSystem(t, { vars: JSON.parse(vars) });
    for (const transcript of transcripts) {
      await t.test(`${transcript.head.transcript}: ${transcript.head.what}`, () => play(system, transcript));
    }
  }
});
