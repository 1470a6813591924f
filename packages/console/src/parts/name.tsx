/** A name that others chose: a key, a tag, an edge. */

/** Characters that turn, hide or join what stands around them, and so can make a name look like another one. */
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/gu;

/** Shows a name in a place of its own, whatever its script is; characters that cannot be seen are written as their numbers. */
export function Name({ text, class: className = 'name' }: { text: string; class?: string }) {
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(INVISIBLE)) {
    const number = found[0].codePointAt(0) ?? 0;
    parts.push(text.slice(from, found.index), <span class="escape">U+{number.toString(16).toUpperCase().padStart(4, '0')}</span>);
    from = found.index + found[0].length;
  }
  parts.push(text.slice(from));
  return <bdi class={className} title={text}>{parts}</bdi>;
}
