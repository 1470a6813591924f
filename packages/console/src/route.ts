/** Addresses of views: `#/{catalog}/{view}?{filters}`. Behind the `#` nothing is ever sent to a server. */

import { useCallback, useEffect, useState } from 'preact/hooks';

/** The views, in the order of the navigation. */
export const VIEWS = ['overview', 'edges', 'live', 'key', 'publish', 'settings'] as const;

/** A view's name. */
export type View = (typeof VIEWS)[number];

/** Where the page is. */
export interface Route {
  readonly catalog: string;
  readonly view: View;
  readonly query: URLSearchParams;
}

/** Reads an address; an unknown view is the overview. */
export function readRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?');
  const [catalog = '', view = ''] = path.split('/');
  const known = VIEWS.find((one) => one === view) ?? 'overview';
  return { catalog: decoded(catalog), view: known, query: new URLSearchParams(query) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}

/** Writes the address of a view. */
export function addressOf(catalog: string, view: View, query: Record<string, string> = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== '');
  const text = new URLSearchParams(given).toString();
  return `#/${encodeURIComponent(catalog)}/${view}${text && `?${text}`}`;
}

/** Follows the address of the page. */
export function useRoute(): Route {
  const [route, setRoute] = useState(() => readRoute(location.hash));
  useEffect(() => {
    const changed = () => setRoute(readRoute(location.hash));
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  return route;
}

/** A filter that lives in the address, so that a link shows what its sender saw. */
export function useQuery(route: Route, name: string): [string, (value: string) => void] {
  const set = useCallback(
    (value: string) => {
      // The newest address: another filter may have changed it since this one was drawn.
      const now = readRoute(location.hash);
      const query = { ...Object.fromEntries(now.query), [name]: value };
      history.replaceState(null, '', addressOf(now.catalog, now.view, query));
      dispatchEvent(new HashChangeEvent('hashchange'));
    },
    [name],
  );
  return [route.query.get(name) ?? '', set];
}
