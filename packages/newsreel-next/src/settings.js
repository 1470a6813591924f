//! The settings, which come from the environment: a handler of Next is a file, and takes no options.

const NUMBERS = { NEWSREEL_BOUND_MS: 0, NEWSREEL_TIMEOUT_MS: 1_000, NEWSREEL_MAX_BYTES: 64 * 2 ** 20 };

/** Returns the settings; throws an error that names the variable that is missing or wrong. */
export function settingsOf(env) {
  for (const name of ['NEWSREEL_URL', 'NEWSREEL_CATALOG']) {
    if (!env[name]) throw new Error(`newsreel-next: ${name} is not set: name the broker and the catalog to follow`);
  }
  const number = (name) => {
    const value = env[name] ? Number(env[name]) : NUMBERS[name];
    if (!(value >= 0)) throw new Error(`newsreel-next: ${name} is ${env[name]}, and not a number of at least 0`);
    return value;
  };
  const beyond = env.NEWSREEL_BEYOND_BOUND || 'miss';
  if (!['miss', 'stale'].includes(beyond)) throw new Error(`newsreel-next: NEWSREEL_BEYOND_BOUND is ${beyond}: write miss or stale`);
  return {
    url: env.NEWSREEL_URL,
    catalog: env.NEWSREEL_CATALOG,
    followToken: env.NEWSREEL_FOLLOW_TOKEN,
    publishToken: env.NEWSREEL_PUBLISH_TOKEN,
    from: env.NEWSREEL_FROM || 'start',
    foldsCase: ['1', 'true'].includes(env.NEWSREEL_TAGS_FOLD_CASE ?? ''),
    boundMs: number('NEWSREEL_BOUND_MS'),
    timeoutMs: number('NEWSREEL_TIMEOUT_MS'),
    maxBytes: number('NEWSREEL_MAX_BYTES'),
    beyond,
  };
}
