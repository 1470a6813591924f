/** What a view shows where there is nothing: what is missing, and the command that comes next. */

import type { ComponentChildren } from 'preact';

import type { Problem } from '../api.js';
import { Copy } from './copy.js';

/** Says what is not there, and the command that makes it. */
export function Empty({ title, command, children }: { title: string; command?: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children && <p>{children}</p>}
      {command && (
        <div class="command">
          <code>{command}</code>
          <Copy text={command} label="Copy" />
        </div>
      )}
    </div>
  );
}

/** Says that a view needs an admin token. */
export function NeedsAdmin({ view }: { view: string }) {
  return (
    <Empty title={`${view} needs an admin token`} command="npx wrangler secret put ADMIN_TOKENS">
      The token you signed in with may follow the log: Overview and Live show what it may see. Sign out and sign in with an admin token.
    </Empty>
  );
}

/** Says what went wrong with a question; what is shown beside it may be older. */
export function Trouble({ problem }: { problem: Problem | undefined }) {
  if (!problem) return null;
  return (
    <p class="trouble" role="alert">
      <strong>{problem.code}</strong> <bdi>{problem.detail}</bdi>
    </p>
  );
}
