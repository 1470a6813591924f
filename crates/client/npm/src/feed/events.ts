/** What a feed brings, in the protocol's own shapes. */

/** A key changed, or was removed. */
export interface KeyChange {
  /** Which: `class:id`. */
  readonly key: string;
  /** Absent: it was updated. */
  readonly op?: 'update' | 'remove';
  /** The tags of its entry. */
  readonly tags?: readonly string[];
  /** What is older may still be shown, marked, while it is fetched again. */
  readonly soft?: true;
}

/** Every entry that carries a tag changed. */
export interface TagChange {
  /** Which. */
  readonly tag: string;
  /** See {@link KeyChange.soft}. */
  readonly soft?: true;
}

/** Every key that begins so changed. */
export interface PrefixChange {
  /** How it begins. */
  readonly prefix: string;
  /** See {@link KeyChange.soft}. */
  readonly soft?: true;
}

/** Everything changed. */
export interface AllChange {
  /** Always true. */
  readonly all: true;
  /** See {@link KeyChange.soft}. */
  readonly soft?: true;
}

/** What changed. */
export type Change = KeyChange | TagChange | PrefixChange | AllChange;

/** One version of the log: all that one publish changed, at once. */
export interface VersionEvent {
  /** Tells it from the others. */
  readonly type: 'version';
  /** Its number; versions come in order, once each. */
  readonly version: number;
  /** When the broker committed it, in Unix milliseconds of its clock. */
  readonly at: number;
  /** What changed. */
  readonly changes: readonly Change[];
}

/**
 * What is left of a part of the log that is too old to be kept in full: one change a target and kind, each with the
 * version it was made at, in their order. It may come again after a cut.
 */
export interface FoldEvent {
  /** Tells it from the others. */
  readonly type: 'fold';
  /** The version that the fold leads up to. */
  readonly version: number;
  /** What changed. */
  readonly changes: readonly (Change & { readonly version: number })[];
}

/** The position held is not on the log: whatever was derived from it is to be forgotten. */
export interface ResetEvent {
  /** Tells it from the others. */
  readonly type: 'reset';
  /** The version from which it goes on. */
  readonly version: number;
  /** Everything; so whoever only looks at `changes` does right. */
  readonly changes: readonly [AllChange];
  /** The position from which it goes on. */
  readonly position: string;
  /** Why, for people. */
  readonly reason: string;
}

/** What a loop over a feed gets. */
export type FeedEvent = VersionEvent | FoldEvent | ResetEvent;

interface Row {
  version: number;
  at: number;
  changes: Change[];
}

/** Returns the versions above `after` of the text of a `changes` frame. The wasm has checked it. */
export function versionsOf(frame: string, after: number): VersionEvent[] {
  const { versions } = JSON.parse(frame) as { versions: Row[] };
  const fresh = versions.filter(({ version }) => version > after);
  return fresh.map(({ version, at, changes }) => ({ type: 'version', version, at, changes }));
}

/** Returns the part of a fold that is in the text of a `fold` frame; nothing where the part is empty. */
export function foldOf(frame: string): FoldEvent[] {
  const { to, changes } = JSON.parse(frame) as { to: number; changes: FoldEvent['changes'] };
  return changes.length > 0 ? [{ type: 'fold', version: to, changes }] : [];
}

/** Returns the event of a reset. */
export function resetTo(position: string, reason: string): ResetEvent {
  return { type: 'reset', version: versionOf(position), changes: [{ all: true }], position, reason };
}

/** Returns the version in a position. */
export function versionOf(position: string): number {
  return Number(position.split(':')[1]);
}
