/** What can be done to a key: read it, fetch it anew, remove it. */

import { useRef, useState } from 'preact/hooks';

import { type Api, type Entry, Problem, entry } from '../api.js';
import { whole } from '../format.js';
import { CopyCurl } from '../parts/copy.js';
import { Trouble } from '../parts/empty.js';
import { Name } from '../parts/name.js';

/** How much of a value is shown. */
const SHOWN = 4000;

interface ActsProps {
  api: Api;
  name: string;
  /** Called when an act has changed what edges would answer. */
  done: () => void;
}

/** The buttons, and what the last one came to. */
export function KeyActs({ api, name, done }: ActsProps) {
  const [said, setSaid] = useState<{ text?: string; entry?: Entry; problem?: Problem }>({});
  const [isBusy, setBusy] = useState(false);
  const confirm = useRef<HTMLDialogElement>(null);
  const act = async (what: () => Promise<{ text?: string; entry?: Entry }>, changes: boolean) => {
    setBusy(true);
    try {
      setSaid(await what());
      if (changes) done();
    } catch (thrown) {
      setSaid({ problem: thrown instanceof Problem ? thrown : new Problem(0, 'internal', String(thrown)) });
    }
    setBusy(false);
  };
  const read = async () => ({ entry: await api.read(name) });
  // A soft change lets edges serve the old value, marked, while the new one is fetched; the fill fetches it here at once.
  const refresh = async () => {
    const { version } = await api.publish([{ key: name, soft: true }], crypto.randomUUID());
    const { filled, absent, failed } = await api.fill(name);
    const became = filled.length > 0 ? 'fetched' : absent.length > 0 ? 'the origin has none' : failed[0] ? `${failed[0].code}: ${failed[0].detail}` : 'kept: an entry as new is stored';
    return { text: `Version ${whole(version)} ends the old value softly; ${became}.` };
  };
  const remove = async () => {
    const { version } = await api.publish([{ key: name, op: 'remove' }], crypto.randomUUID());
    return { text: `Removed with version ${whole(version)}: every edge answers 404 from it on.` };
  };
  return (
    <section class="acts" aria-label="Acts">
      <button type="button" disabled={isBusy} onClick={() => act(read, false)}>Read</button>
      <button type="button" disabled={isBusy} onClick={() => act(refresh, true)}>Refresh</button>
      <button type="button" class="danger" disabled={isBusy} onClick={() => confirm.current?.showModal()}>Remove …</button>
      <CopyCurl path={api.at(entry(name), { envelope: 1 })} />
      <div role="status">{said.text}</div>
      <Trouble problem={said.problem} />
      {said.entry && <Value entry={said.entry} />}
      <dialog ref={confirm} aria-labelledby="remove-title">
        <h2 id="remove-title">Remove the key?</h2>
        <p><Name text={name} /> is answered with 404 at every edge, until a later change. The origin keeps its value.</p>
        <button type="button" class="danger" onClick={() => { confirm.current?.close(); void act(remove, true); }}>Remove</button>{' '}
        <button type="button" onClick={() => confirm.current?.close()}>Cancel</button>
      </dialog>
    </section>
  );
}

function Value({ entry: { value, encoding, length, content_type: type, freshness } }: { entry: Entry }) {
  const text = encoding === 'json' ? JSON.stringify(value, null, 1) : String(value);
  return (
    <div>
      <p class="faint">{whole(length)} bytes of <bdi>{type}</bdi> · version {String(freshness.version)}{freshness.stale === true && <span class="mark warning">stale</span>}</p>
      <pre tabIndex={0}><bdi>{text.slice(0, SHOWN)}{text.length > SHOWN && '…'}</bdi></pre>
    </div>
  );
}
