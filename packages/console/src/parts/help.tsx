/** The list of keys. */

import { useEffect, useRef } from 'preact/hooks';

const KEYS: [string, string][] = [
  ['1 … 6', 'the views, in order'],
  ['/', 'the filter of the view'],
  ['p', 'pauses and resumes the log (Live)'],
  ['↑ ↓ Enter', 'chooses a version and opens it (Live)'],
  ['?', 'this list'],
  ['Esc', 'closes what is open'],
];

/** A dialog with every key. */
export function Help({ close }: { close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="help-title">
      <h2 id="help-title">Keys</h2>
      <dl class="pairs">
        {KEYS.map(([key, does]) => (
          <div key={key}>
            <dt><kbd>{key}</kbd></dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <button type="button" onClick={() => dialog.current?.close()}>Close</button>
    </dialog>
  );
}
