/** Buttons that copy: a text, or a call as a `curl` command. */

import { useEffect, useState } from 'preact/hooks';

/** Copies a text; says for a moment whether that worked. */
export function Copy({ text, label }: { text: string | (() => string); label: string }) {
  const [said, setSaid] = useState('');
  useEffect(() => {
    const timer = said ? setTimeout(() => setSaid(''), 1500) : undefined;
    return () => clearTimeout(timer);
  }, [said]);
  const copy = () => {
    navigator.clipboard
      .writeText(typeof text === 'function' ? text() : text)
      .then(() => setSaid('Copied'), () => setSaid('The browser refused'));
  };
  return (
    <button type="button" class="quiet small" onClick={copy}>
      <span aria-live="polite">{said || label}</span>
    </button>
  );
}

/** Quotes a word for a POSIX shell. */
export function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Returns a call as a `curl` command. The token is `$TOKEN`: a command that is pasted into a chat gives nothing away. */
export function curlOf(method: string, path: string, body?: unknown): string {
  const words = ['curl', '-sS', '-H', '"Authorization: Bearer $TOKEN"'];
  if (method !== 'GET') words.push('-X', method);
  if (body !== undefined) words.push('-d', quoted(JSON.stringify(body)));
  return [...words, quoted(`${location.origin}${path}`)].join(' ');
}

/** A button that copies a call as `curl`. */
export function CopyCurl({ method = 'GET', path, body }: { method?: string; path: string; body?: unknown }) {
  return <Copy text={() => curlOf(method, path, body)} label="Copy as curl" />;
}
