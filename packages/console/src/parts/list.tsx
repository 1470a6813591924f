/** A list of very many rows, of which only those in view are in the page. */

import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';

interface ListProps<T> {
  readonly label: string;
  readonly rows: readonly T[];
  readonly rowHeight: number;
  /** The row's identity, by which a row keeps its element while others come and go. */
  readonly keyOf: (row: T) => string | number;
  readonly draw: (row: T, at: number) => ComponentChildren;
  readonly chosen?: number | undefined;
  readonly choose?: (at: number) => void;
  /** Called as the list is scrolled: with true while its beginning is out of view. */
  readonly scrolledAway?: (away: boolean) => void;
}

/** Rows that are drawn above and below the view, so that a quick hand sees no gap. */
const BEYOND = 12;

/** The list: a box that scrolls, as tall as all rows, with the rows in view at their places. */
export function List<T>({ label, rows, rowHeight, keyOf, draw, chosen, choose, scrolledAway }: ListProps<T>) {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  const away = useRef(scrolledAway);
  away.current = scrolledAway;
  useEffect(() => {
    const at = box.current;
    if (!at) return;
    const look = () => {
      setView((before) => (before.top === at.scrollTop && before.height === at.clientHeight ? before : { top: at.scrollTop, height: at.clientHeight }));
      away.current?.(at.scrollTop >= rowHeight);
    };
    const resized = new ResizeObserver(look);
    resized.observe(at);
    at.addEventListener('scroll', look, { passive: true });
    return () => {
      resized.disconnect();
      at.removeEventListener('scroll', look);
    };
  }, []);
  const first = Math.max(0, Math.floor(view.top / rowHeight) - BEYOND);
  const last = Math.min(rows.length, Math.ceil((view.top + view.height) / rowHeight) + BEYOND);
  const move = (by: number) => {
    if (!choose || rows.length === 0) return;
    const next = Math.min(rows.length - 1, Math.max(0, (chosen ?? -1) + by));
    choose(next);
    const at = box.current;
    if (!at) return;
    if (next * rowHeight < at.scrollTop) at.scrollTop = next * rowHeight;
    if ((next + 1) * rowHeight > at.scrollTop + at.clientHeight) at.scrollTop = (next + 1) * rowHeight - at.clientHeight;
  };
  const pressed = (event: KeyboardEvent) => {
    const by = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    move(by);
  };
  return (
    <div ref={box} class="list" role="list" aria-label={label} tabIndex={0} onKeyDown={pressed}
      style={{ height: `min(${rows.length * rowHeight + 2}px, 70vh)` }}>
      <div class="list-all" style={{ height: `${rows.length * rowHeight}px` }}>
        {rows.slice(first, last).map((row, offset) => (
          <div key={keyOf(row)} role="listitem" class="list-row" aria-posinset={first + offset + 1} aria-setsize={rows.length}
            aria-current={first + offset === chosen ? 'true' : undefined}
            style={{ top: `${(first + offset) * rowHeight}px`, height: `${rowHeight}px` }}>
            {draw(row, first + offset)}
          </div>
        ))}
      </div>
    </div>
  );
}
