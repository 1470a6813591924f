/** Signing in: a catalog and a token, which is tried before it is believed. */

import { useEffect, useId, useRef, useState } from 'preact/hooks';

import { Api, Problem } from '../api.js';
import { Trouble } from '../parts/empty.js';
import { type Route, addressOf } from '../route.js';
import { type Session, keptToken } from '../session.js';
import { ThemeButton } from '../theme.js';

/** Tries a token on a catalog. The list of followers is an admin's alone, so the list tells what the token may see. */
async function tried(catalog: string, token: string): Promise<Session> {
  const api = new Api(catalog, token);
  await api.status();
  try {
    await api.followers();
    return { catalog, token, scope: 'admin' };
  } catch (thrown) {
    if (thrown instanceof Problem && thrown.status === 403) return { catalog, token, scope: 'follow' };
    throw thrown;
  }
}

interface SignInProps {
  route: Route;
  notice: string;
  enter: (session: Session) => void;
}

/** The form, shown wherever the address leads until a token is accepted. */
export function SignIn({ route, notice, enter }: SignInProps) {
  const [catalog, setCatalog] = useState(route.catalog);
  const [problem, setProblem] = useState<Problem>();
  const [isTrying, setTrying] = useState(() => Boolean(route.catalog && keptToken()));
  const token = useRef<HTMLInputElement>(null);
  const ids = { catalog: useId(), token: useId() };

  const attempt = async (name: string, secret: string) => {
    setTrying(true);
    setProblem(undefined);
    try {
      const session = await tried(name, secret);
      if (route.catalog !== name) location.replace(addressOf(name, 'overview'));
      enter(session);
    } catch (thrown) {
      setProblem(thrown instanceof Problem ? thrown : new Problem(0, 'internal', String(thrown)));
      setTrying(false);
    }
  };

  useEffect(() => {
    const kept = keptToken();
    setCatalog(route.catalog);
    if (kept && route.catalog) void attempt(route.catalog, kept);
  }, [route.catalog]);

  return (
    <main class="signin" tabIndex={-1}>
      <div class="end"><ThemeButton /></div>
      <h1>Newsreel</h1>
      {notice && <p class="trouble" role="alert">{notice}</p>}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void attempt(catalog.trim(), token.current?.value.trim() ?? '');
        }}
      >
        <label for={ids.catalog}>Catalog</label>
        <input id={ids.catalog} value={catalog} onInput={(event) => setCatalog(event.currentTarget.value)} required
          pattern="[a-z0-9\-]{1,64}" title="1 to 64 of a-z, 0-9 and -" autocomplete="off" spellcheck={false} placeholder="tv" />
        <label for={ids.token}>Token</label>
        <input id={ids.token} ref={token} type="password" required autocomplete="off" spellcheck={false} />
        <button type="submit" class="primary" disabled={isTrying}>{isTrying ? 'Trying …' : 'Sign in'}</button>
      </form>
      <Trouble problem={problem} />
      <p class="hint">
        A token of <code>ADMIN_TOKENS</code> shows everything, one of <code>FOLLOW_TOKENS</code> the log. In development
        (<code>scripts/dev</code>, catalog <code>tv</code>) the admin token is <code>dev-admin</code>. The token stays in this tab.
      </p>
    </main>
  );
}
