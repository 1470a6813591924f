/** The shell: sign-in, navigation, keys, the theme, and the view that the address names. */

import type { ComponentType } from 'preact';
import { useCallback, useEffect, useMemo, useState } from 'preact/hooks';

import { Api, Problem } from './api.js';
import { useShortcuts } from './keys.js';
import { Help } from './parts/help.js';
import { NeedsAdmin } from './parts/empty.js';
import { VIEWS, type Route, type View, addressOf, useRoute } from './route.js';
import { type Session, keepToken } from './session.js';
import { ThemeButton } from './theme.js';
import { EdgesView } from './views/edges.js';
import { KeyView } from './views/key.js';
import { LiveView } from './views/live.js';
import { Overview } from './views/overview.js';
import { PublishView } from './views/publish.js';
import { SettingsView } from './views/settings.js';
import { SignIn } from './views/signin.js';

/** What every view gets. */
export interface ViewProps {
  readonly api: Api;
  readonly session: Session;
  readonly route: Route;
}

const SHOWN: Record<View, { title: string; view: ComponentType<ViewProps>; needsAdmin: boolean }> = {
  overview: { title: 'Overview', view: Overview, needsAdmin: false },
  edges: { title: 'Edges', view: EdgesView, needsAdmin: true },
  live: { title: 'Live', view: LiveView, needsAdmin: false },
  key: { title: 'A key', view: KeyView, needsAdmin: true },
  publish: { title: 'Publish', view: PublishView, needsAdmin: true },
  settings: { title: 'Settings', view: SettingsView, needsAdmin: true },
};

/** The console. */
export function App() {
  const route = useRoute();
  const [session, setSession] = useState<Session>();
  const [notice, setNotice] = useState('');
  const leave = useCallback((why: string) => {
    keepToken(undefined);
    setSession(undefined);
    setNotice(why);
  }, []);
  const enter = useCallback((entered: Session) => {
    keepToken(entered.token);
    setNotice('');
    setSession(entered);
  }, []);
  // Another catalog in the address is another session: the token may not be good there.
  const isHere = session !== undefined && (route.catalog === session.catalog || route.catalog === '');
  useEffect(() => {
    if (session && route.catalog === '') location.replace(addressOf(session.catalog, 'overview'));
  }, [session, route.catalog]);
  if (!session || !isHere) return <SignIn route={route} notice={notice} enter={enter} />;
  return <Console route={route} session={session} leave={leave} />;
}

function Console({ route, session, leave }: { route: Route; session: Session; leave: (why: string) => void }) {
  const refused = useCallback((problem: Problem) => leave(`The token is not accepted any more (${problem.code}). Sign in again to go on where you were.`), [leave]);
  const api = useMemo(() => new Api(session.catalog, session.token, refused), [session, refused]);
  const [showsHelp, setHelp] = useState(false);
  const go = (view: View) => location.assign(addressOf(session.catalog, view));
  useShortcuts({
    ...Object.fromEntries(VIEWS.map((view, at) => [String(at + 1), () => go(view)])),
    '?': () => setHelp((shown) => !shown),
    Escape: () => setHelp(false),
    '/': () => document.querySelector<HTMLElement>('[data-filter]')?.focus(),
  });
  const { title, view: Shown, needsAdmin } = SHOWN[route.view];
  useEffect(() => {
    document.title = `${title} · ${session.catalog} · Newsreel`;
  }, [title, session.catalog]);
  return (
    <div class="console">
      <header class="bar">
        <a class="skip" href={location.hash} onClick={(event) => { event.preventDefault(); document.querySelector<HTMLElement>('main')?.focus(); }}>
          To the content
        </a>
        <span class="brand">Newsreel</span>
        <bdi class="catalog">{session.catalog}</bdi>
        <nav aria-label="Views">
          {VIEWS.map((view) => (
            <a key={view} href={addressOf(session.catalog, view)} aria-current={view === route.view ? 'page' : undefined}>
              {SHOWN[view].title}
            </a>
          ))}
        </nav>
        <span class="end">
          <ThemeButton />
          <button type="button" class="quiet" aria-label="Keys" title="Keys (?)" onClick={() => setHelp(true)}>?</button>
          <button type="button" class="quiet" onClick={() => leave('')}>Sign out</button>
        </span>
      </header>
      <main tabIndex={-1}>
        <h1>{title}</h1>
        {needsAdmin && session.scope !== 'admin' ? <NeedsAdmin view={title} /> : <Shown key={`${session.catalog} ${route.view}`} api={api} session={session} route={route} />}
      </main>
      {showsHelp && <Help close={() => setHelp(false)} />}
    </div>
  );
}
