// Names: of a Worker, an npm package and a catalog at once.

import { CreateError } from './error.js';

/** A Worker's name is a part of its host's name, and of a preview's, so Cloudflare takes 54 characters there. */
const MOST = 54;
const NAME = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;

/** Returns the name if it can be one. */
export function checkName(name) {
  const fits = name.length <= MOST && NAME.test(name) && name !== 'node_modules';
  if (fits) return name;
  const rule = `a name is 1 to ${MOST} of a-z, 0-9 and '-', and begins and ends with a letter or a digit`;
  const better = suggestion(name);
  throw new CreateError(`'${name}' cannot be the name of a Worker: ${rule}${better ? `. Try '${better}'` : ''}`);
}

/** The nearest name that would do; empty if nothing is left. */
function suggestion(name) {
  const plain = name.normalize('NFKD').toLowerCase().replace(/[\s_.]+/g, '-').replace(/[^a-z0-9-]/g, '');
  return plain.replace(/^-+/, '').slice(0, MOST).replace(/-+$/, '');
}
