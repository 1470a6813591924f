// The errors of a failed check: what it looked at, what was expected and what was seen.

import { isDeepStrictEqual } from 'node:util';

export class Mismatch extends Error {
  constructor(what, expected, seen) {
    super(what);
    Object.assign(this, { expected, seen });
  }
}

/** Thrown by a check that cannot be made here, with the reason. */
export class Skipped extends Error {}

/** Seen must be exactly as expected. */
export function same(what, seen, expected) {
  if (!isDeepStrictEqual(seen, expected)) throw new Mismatch(what, expected, seen);
}

/** A condition must hold; `expected` says in words which. */
export function holds(what, condition, expected, seen) {
  if (!condition) throw new Mismatch(what, expected, seen);
}

/** A text must match a pattern. */
export function matches(what, seen, pattern) {
  if (typeof seen !== 'string' || !pattern.test(seen)) throw new Mismatch(what, pattern, seen);
}

/** An answer must have a status. */
export function status(answer, wanted) {
  if (answer.status !== wanted) throw new Mismatch(`the status of ${answer.asked}`, wanted, `${answer.status} ${answer.text}`);
  return answer;
}

/** An answer must be the problem: status, content type and every member that each problem has; `members` more. */
export function problem(answer, wanted, code, members = []) {
  const what = answer.asked;
  const seen = `${answer.status} ${answer.text}`;
  if (answer.status !== wanted || answer.json?.code !== code) {
    throw new Mismatch(`the problem of ${what}`, `${wanted} ${code}`, seen);
  }
  same(`the content type of the problem of ${what}`, mediaType(answer), 'application/problem+json');
  problemMembers(answer.json, wanted, code, what);
  for (const member of members) holds(`the problem of ${what}`, member in answer.json, `a member ${member}`, answer.json);
  return answer.json;
}

/** The members that each problem has, also one in a line or in a frame of answers. */
export function problemMembers(seen, wanted, code, what) {
  same(`status and code of ${what}`, [seen?.status, seen?.code], [wanted, code]);
  same(`the type of the problem of ${what}`, seen.type, `urn:newsreel:problem:${code}`);
  for (const member of ['title', 'detail']) {
    holds(`the problem of ${what}`, typeof seen[member] === 'string', `a text ${member}`, seen);
  }
}

export function mediaType(answer) {
  return answer.headers.get('content-type')?.split(';')[0].trim();
}
