/** Keys of the keyboard that do something anywhere in a view. */

import { useEffect, useRef } from 'preact/hooks';

/** Calls a function when its key is pressed, unless one is writing into a field. */
export function useShortcuts(shortcuts: Record<string, () => void>): void {
  const newest = useRef(shortcuts);
  newest.current = shortcuts;
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      const at = event.target as HTMLElement | null;
      if (event.key !== 'Escape' && at?.closest('input, select, textarea')) return;
      const action = newest.current[event.key];
      if (!action) return;
      event.preventDefault();
      action();
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);
}
