/** The alerts that stand, and those that ended lately. */

import type { Alert, Source } from '../api.js';
import { ago, duration } from '../format.js';
import { Name } from './name.js';

/** How many edges of an alert are named. */
const MAX_NAMED = 3;

/** A list of alerts; nothing wrong is said, too. */
export function Alerts({ alerts }: { alerts: readonly Alert[] }) {
  const standing = alerts.filter((one) => one.resolved_at === undefined);
  const ended = alerts.length - standing.length;
  return (
    <section aria-label="Alerts">
      {standing.length === 0 ? (
        <p class="all-well"><span class="dot good" /> No alert{ended > 0 && <span class="faint"> · {ended} ended lately</span>}</p>
      ) : (
        <ul class="alerts">
          {standing.map((alert) => (
            <li key={alert.id} class={alert.severity}>
              <span class={`dot ${alert.severity}`} />
              <strong>{alert.severity}</strong> <Name text={alert.says} class="" />
              <span class="faint">
                {alert.rule}{alert.class && <> · class <Name text={alert.class} /></>}{alert.edges.slice(0, MAX_NAMED).map((edge) => <span key={edge}> · edge <Name text={edge} /></span>)}{alert.edges.length > MAX_NAMED && <> and {alert.edges.length - MAX_NAMED} more</>} · since {ago(alert.since)}
              </span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

/** The sources that publish into the catalog, and how late each said that it is. */
export function Sources({ sources }: { sources: readonly Source[] }) {
  if (sources.length === 0) return null;
  return (
    <section aria-label="Sources">
      <p class="says">
        {sources.map(({ name, late_ms: late, heard_at: at }) => (
          <span key={name}>Source <Name text={name} /> <strong>{duration(late)}</strong> late, heard of {ago(at)}. </span>
        ))}
      </p>
    </section>
  );
}
