/** A key: what every edge would answer and why, drawn; and the acts on it: read, refresh, remove. */

import { useEffect, useState } from 'preact/hooks';

import type { ViewProps } from '../app.js';
import { type Api, Problem, entry } from '../api.js';
import type { Explanation, Step } from '../explanation.js';
import { COLUMNS, saysOf } from '../explanation.js';
import { clock, duration } from '../format.js';
import { CopyCurl } from '../parts/copy.js';
import { Empty, Trouble } from '../parts/empty.js';
import { Floors } from '../parts/floors.js';
import { Name } from '../parts/name.js';
import { useQuery } from '../route.js';
import { KeyActs } from './key-acts.js';

/** How many edges are asked without being told to: each reads the key, and may ask the origin. */
const ASKED = 8;
/** How many are asked at once. */
const AT_ONCE = 4;

/** What an edge said, or why it said nothing. */
type Told = { edge: string; explanation?: Explanation; problem?: Problem };

/** Asks the edges one after another; hands each answer on as it comes. */
async function ask(api: Api, key: string, edges: readonly string[], told: (one: Told) => void): Promise<void> {
  const waiting = [...edges];
  const worker = async () => {
    for (let edge = waiting.shift(); edge !== undefined; edge = waiting.shift()) {
      try {
        told({ edge, explanation: await api.explain(key, edge) });
      } catch (thrown) {
        told({ edge, problem: thrown instanceof Problem ? thrown : new Problem(0, 'internal', String(thrown)) });
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** The view. */
export function KeyView({ api, route }: ViewProps) {
  const [key, setKey] = useQuery(route, 'key');
  const [written, setWritten] = useState(key);
  const [asked, setAsked] = useState({ turn: 0, all: false });
  const { edges, left, told, problem } = useTold(api, key, asked);
  useEffect(() => setWritten(key), [key]);
  return (
    <>
      <form
        class="filters"
        role="search"
        onSubmit={(event) => {
          event.preventDefault();
          setKey(written.trim());
          setAsked({ turn: asked.turn + 1, all: false });
        }}
      >
        <label>Key <input class="wide" data-filter value={written} onInput={(event) => setWritten(event.currentTarget.value)} placeholder="title:603" spellcheck={false} required pattern="[^:]+:.+" title="class:id" /></label>
        <button type="submit" class="primary">Why?</button>
        {key && <CopyCurl path={api.at(entry(key), { explain: 1 })} />}
      </form>
      <Trouble problem={problem} />
      {!key && <Empty title="No key is named" command={`curl -sS -H "Authorization: Bearer $TOKEN" '${location.origin}${api.at(entry('title:1'), { explain: 1 })}'`}>A key is a class and an id: title:603. Every edge that is online says what it would answer, and why.</Empty>}
      {key && (
        <>
          <KeyActs api={api} name={key} done={() => setAsked((before) => ({ ...before, turn: before.turn + 1 }))} />
          {told.map((one) => <Edge key={one.edge} told={one} />)}
          {told.length < edges && <p class="faint" role="status">{told.length} of {edges} edges have answered …</p>}
          {left > 0 && <button type="button" onClick={() => setAsked({ turn: asked.turn + 1, all: true })}>Ask the other {left} edges, too</button>}
        </>
      )}
    </>
  );
}

/** Asks the edges that follow whenever the key or the turn is another. */
function useTold(api: Api, key: string, asked: { turn: number; all: boolean }) {
  const [state, setState] = useState<{ edges: number; left: number; told: Told[]; problem?: Problem }>({ edges: 0, left: 0, told: [] });
  useEffect(() => {
    let over = false;
    setState({ edges: 0, left: 0, told: [] });
    if (!key) return;
    const go = async () => {
      const { followers } = await api.followers();
      const online = [...new Set(followers.filter(({ replica }) => replica).map(({ name }) => name))].sort();
      // The first read of all wakes the edge that answers this page.
      const names = online.length > 0 ? (asked.all ? online : online.slice(0, ASKED)) : [''];
      if (over) return;
      setState({ edges: names.length, left: online.length - (online.length > 0 ? names.length : 0), told: [] });
      await ask(api, key, names, (one) => {
        if (!over) setState((before) => ({ ...before, told: [...before.told, one].sort((a, b) => a.edge.localeCompare(b.edge)) }));
      });
    };
    go().catch((thrown: unknown) => {
      if (!over && thrown instanceof Problem) setState((before) => ({ ...before, problem: thrown }));
    });
    return () => {
      over = true;
    };
  }, [api, key, asked.turn, asked.all]);
  return state;
}

/** One edge's read, as a row of steps; a step opens to its entry and its floors. */
function Edge({ told: { edge, explanation, problem } }: { told: Told }) {
  const [open, setOpen] = useState<number>();
  if (!explanation) {
    return (
      <article class="edge-read">
        <h2><Name text={edge} /></h2>
        <Trouble problem={problem} />
      </article>
    );
  }
  const { steps, policy, position, lag_ms: lag } = explanation;
  const shown = open === undefined ? undefined : steps[open];
  return (
    <article class="edge-read" aria-label={`Edge ${explanation.edge}`}>
      <header class="section-head">
        <h2><Name text={explanation.edge} /></h2>
        <span class="faint">
          at <span class="mono">{position ?? 'no position'}</span>{lag !== null && <> · proved {duration(lag)} before</>} · bound {duration(policy.lag_bound_ms)}, fresh for {duration(policy.ttl_ms)}, then marked for {duration(policy.stale_for_ms)}
        </span>
      </header>
      <ol class="steps">
        {steps.map((step, at) => <StepBox key={at} step={step} isOpen={open === at} toggle={() => setOpen(open === at ? undefined : at)} />)}
      </ol>
      {explanation.origin_error && <p class="trouble">origin: <bdi>{explanation.origin_error}</bdi></p>}
      {shown && <StepMore step={shown} />}
    </article>
  );
}

const NAMES: Record<(typeof COLUMNS)[number], string> = { sync: 'Asked the replica', memory: 'Memory', kv: 'KV', r2: 'R2', origin: 'Origin', answer: 'Answer' };

function StepBox({ step, isOpen, toggle }: { step: Step; isOpen: boolean; toggle: () => void }) {
  const { says, light } = saysOf(step);
  return (
    <li class={`step ${light}`}>
      <button type="button" aria-expanded={isOpen} onClick={toggle}>
        <span class="step-name">{NAMES[step.step]}</span>
        <span><span class={`dot ${light}`} /> {says}</span>
        {step.entry && <span class="faint">entry of version {step.entry.position.split(':')[1]}</span>}
      </button>
    </li>
  );
}

function StepMore({ step }: { step: Step }) {
  return (
    <div class="step-more">
      {step.entry && step.floors && <Floors position={step.entry.position} floors={step.floors} />}
      {step.not_stored && <p>No tier stores it: <strong>{step.not_stored.code}</strong> <bdi>{step.not_stored.detail}</bdi></p>}
      {step.entry && (
        <dl class="pairs">
          <div><dt>Fetched</dt><dd>{clock(step.entry.fetched_at)}</dd></div>
          <div><dt>Fresh until</dt><dd>{new Date(step.entry.expires_at).toLocaleString()}</dd></div>
          <div><dt>Marked until</dt><dd>{new Date(step.entry.stale_until).toLocaleString()}</dd></div>
          <div><dt>Tags</dt><dd>{(step.entry.tags ?? []).map((tag) => <Name key={tag} text={tag} class="tag" />)}{(step.entry.tags ?? []).length === 0 && 'none'}</dd></div>
          <div><dt>ETag</dt><dd class="mono"><bdi>{step.entry.etag || 'none'}</bdi></dd></div>
        </dl>
      )}
      {!step.entry && <pre>{JSON.stringify(step, null, 1)}</pre>}
    </div>
  );
}
