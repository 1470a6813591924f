/** Dark and light: the system's choice, until the reader makes one. */

import { useEffect, useState } from 'preact/hooks';

const KEPT = 'newsreel.console.theme';

/** Called with each change of the theme, by plots, which draw their own colours. */
export const themeChanged = 'newsreel-theme';

function kept(): string {
  try {
    return localStorage.getItem(KEPT) ?? '';
  } catch {
    return '';
  }
}

/** Says whether the page is dark. */
export function isDark(): boolean {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
}

/** A button that turns the theme. */
export function ThemeButton() {
  const [theme, setTheme] = useState(kept);
  useEffect(() => {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    try {
      localStorage.setItem(KEPT, theme);
    } catch {
      // The choice then lasts as long as the page.
    }
    dispatchEvent(new Event(themeChanged));
  }, [theme]);
  return (
    <button type="button" class="quiet" onClick={() => setTheme(isDark() ? 'light' : 'dark')} aria-label="Dark or light" title="Dark or light">
      ◐
    </button>
  );
}
