/** The settings: what each class promises, as a sum of its parts; every variable; and what is wrong with them. */

import type { ViewProps } from '../app.js';
import type { Policy, Settings } from '../api.js';
import { duration } from '../format.js';
import { CopyCurl } from '../parts/copy.js';
import { Empty, Trouble } from '../parts/empty.js';
import { Name } from '../parts/name.js';
import { usePoll } from '../poll.js';

/** The view. */
export function SettingsView({ api }: ViewProps) {
  const { value, problem } = usePoll(api.settings, 60_000, [api]);
  if (problem?.isUnknownPath) return <Empty title="This deployment does not tell its settings" command="npx newsreel check-config">The command judges wrangler.toml by the rules of the Worker.</Empty>;
  return (
    <>
      <Trouble problem={problem} />
      {value && (
        <>
          <Problems settings={value} />
          <section>
            <div class="section-head"><h2>Classes</h2><CopyCurl path={api.at('/settings')} /></div>
            {value.policies.map((one) => <ClassPolicy key={one.class} {...one} />)}
          </section>
          <Variables settings={value} />
        </>
      )}
    </>
  );
}

function Problems({ settings }: { settings: Settings }) {
  if (settings.problems.length === 0) return <p class="all-well"><span class="dot good" /> The variables are right by the rules of the Worker, as <code>newsreel check-config</code> has them.</p>;
  return (
    <ul class="alerts">
      {settings.problems.map(({ name, detail }) => <li key={name} class="critical"><span class="dot critical" /><strong>{name}</strong> <bdi>{detail}</bdi></li>)}
    </ul>
  );
}

/** A class: how old an answer can be, and the parts which that is the sum of. */
function ClassPolicy({ class: name, policy, default: base }: { class: string; policy: Policy; default: Policy }) {
  const changed = (field: keyof Policy) => JSON.stringify(policy[field]) !== JSON.stringify(base[field]);
  const total = policy.ttl_ms + policy.stale_for_ms;
  return (
    <article class="class-card" aria-label={`Class ${name}`}>
      <header><h3><Name text={name} /></h3><span class="faint">{name === 'other' && 'every class without a policy of its own'}</span></header>
      <div class="sum" role="img" aria-label={`fresh for ${duration(policy.ttl_ms)}, then marked for ${duration(policy.stale_for_ms)}`}>
        <span class="sum-fresh" style={{ flexGrow: policy.ttl_ms }} /><span class="sum-stale" style={{ flexGrow: policy.stale_for_ms }} />
      </div>
      <p class="says">
        Without a change: fresh for <Part is={changed('ttl_ms')}>{duration(policy.ttl_ms)}</Part> + marked for <Part is={changed('stale_for_ms')}>{duration(policy.stale_for_ms)}</Part> = served for at most <strong>{duration(total)}</strong>.
      </p>
      <p class="says">
        After a change: {policy.lag_bound_ms === 0 ? <>every read <Part is={changed('lag_bound_ms')}>asks first</Part>, so none is older than the newest change</> : <>an answer is at most <Part is={changed('lag_bound_ms')}>{duration(policy.lag_bound_ms)}</Part> behind</>};
        where that cannot be proved, <Part is={changed('beyond_bound')}>{policy.beyond_bound === 'fail' ? 'it fails (503)' : 'it is marked stale'}</Part>.
      </p>
      <p class="faint">
        A change <Part is={changed('on_bump')}>{policy.on_bump === 'refresh' ? 'fetches what was read lately anew' : 'deletes the old entry'}</Part>
        {' · '}<Part is={changed('quorum')}>{policy.quorum ? 'KV, R2 and origin are asked at once' : 'one tier after another'}</Part>
        {' · '}the origin’s Cache-Control <Part is={changed('origin_cache_control')}>{policy.origin_cache_control === 'ignore' ? 'is ignored' : 'counts'}</Part>
        {policy.origin_vary.length > 0 && <>{' · '}may vary by <Part is={changed('origin_vary')}>{policy.origin_vary.join(', ')}</Part></>}
      </p>
    </article>
  );
}

/** A part that the deployment changed stands out. */
function Part({ is, children }: { is: boolean; children: preact.ComponentChildren }) {
  return is ? <strong class="changed" title="set by POLICY">{children}</strong> : <span>{children}</span>;
}

function Variables({ settings }: { settings: Settings }) {
  return (
    <section>
      <h2>Variables</h2>
      <div class="table-box" tabIndex={0} role="region" aria-label="Variables">
        <table>
          <thead><tr><th scope="col">Name</th><th scope="col">Value</th><th scope="col">What it does</th></tr></thead>
          <tbody>
            {settings.variables.map(({ name, value, default: base, meaning, expected }) => (
              <tr key={name}>
                <th scope="row"><code>{name}</code></th>
                <td>{value === null || value === '' ? <span class="faint">{base || 'none'}</span> : <code><bdi>{typeof value === 'string' ? value : JSON.stringify(value)}</bdi></code>}</td>
                <td title={expected}>{meaning}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
