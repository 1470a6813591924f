/**
 * Who looks: the token and what it may see. The token is kept in memory, and in the tab's session storage so that a
 * reload need not ask for it again; never in an address, and never longer than the tab.
 */

const KEPT_TOKEN = 'newsreel.console.token';

/** What a token may see: `admin` everything, `follow` the log alone. */
export type Scope = 'admin' | 'follow';

/** A token that was accepted for a catalog. */
export interface Session {
  readonly catalog: string;
  readonly token: string;
  readonly scope: Scope;
}

/** Returns the token that this tab kept. A browser that forbids storage keeps none. */
export function keptToken(): string | undefined {
  try {
    return sessionStorage.getItem(KEPT_TOKEN) ?? undefined;
  } catch {
    return undefined;
  }
}

/** Keeps a token for this tab, or forgets the one kept. */
export function keepToken(token: string | undefined): void {
  try {
    if (token === undefined) sessionStorage.removeItem(KEPT_TOKEN);
    else sessionStorage.setItem(KEPT_TOKEN, token);
  } catch {
    // Without storage a reload asks for the token again.
  }
}
