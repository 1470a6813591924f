/** Asking again and again, while the page is looked at. */

import { useCallback, useEffect, useRef, useState } from 'preact/hooks';

import { Problem } from './api.js';

/** What a poll knows: the newest answer, and the problem if the newest question had one. */
export interface Polled<T> {
  readonly value: T | undefined;
  readonly problem: Problem | undefined;
  /** When the newest answer came, in Unix milliseconds. */
  readonly at: number | undefined;
  readonly again: () => void;
}

/**
 * Asks at once and `everyMs` after each answer. A page that nobody looks at asks nothing, so that an open tab keeps no
 * object awake. An answer that was overtaken by new `inputs` is dropped.
 */
export function usePoll<T>(ask: () => Promise<T>, everyMs: number, inputs: readonly unknown[]): Polled<T> {
  const [state, setState] = useState<Omit<Polled<T>, 'again'>>({ value: undefined, problem: undefined, at: undefined });
  const turn = useRef<() => void>(() => {});
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let over = false;
    const go = async () => {
      clearTimeout(timer);
      if (document.hidden) return;
      try {
        const value = await ask();
        if (!over) setState({ value, problem: undefined, at: Date.now() });
      } catch (thrown) {
        const problem = thrown instanceof Problem ? thrown : new Problem(0, 'internal', String(thrown));
        if (!over) setState((before) => ({ ...before, problem }));
        // A deployment without the address will not grow it while one looks.
        if (problem.isUnknownPath || problem.status === 401 || problem.status === 403) return;
      }
      if (!over) timer = setTimeout(go, everyMs);
    };
    turn.current = go;
    setState((before) => ({ ...before, problem: undefined }));
    void go();
    const seen = () => {
      if (!document.hidden) void go();
    };
    document.addEventListener('visibilitychange', seen);
    return () => {
      over = true;
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', seen);
    };
  }, [...inputs, everyMs]);
  const again = useCallback(() => turn.current(), []);
  return { ...state, again };
}
