/** The events of a feed, in the protocol's own shapes. */

/** A key changed, or was removed. */
export interface KeyChange {
  /** The key, `class:id`. */
  readonly key: string;
  /** The operation; absent for an update. */
  readonly op?: 'update' | 'remove';
  /** The tags of its entry. */
  readonly tags?: readonly string[];
  /** Whether an older value may still be served, marked as stale, while it is fetched again. */
  readonly soft?: true;
}

/** Every entry that carries a tag changed. */
export interface TagChange {
  /** The tag, of which any entry may carry several. */
  readonly tag: string;
  /** See {@link KeyChange.soft}. */
  readonly soft?: true;
}

/** Every key with this prefix changed. */
export interface PrefixChange {
  /** The first characters of the keys that changed. */
  readonly prefix: string;
  /** See {@link KeyChange.soft}. */
  readonly soft?: true;
}

/** Every key of the catalog changed. */
export interface AllChange {
  /** Always true: the field tells this change from the others. */
  readonly all: true;
  /** See {@link KeyChange.soft}. */
  readonly soft?: true;
}

/** One change of a key, of a tag, of a prefix or of everything. */
export type Change = KeyChange | TagChange | PrefixChange | AllChange;

/** One version of the log: everything that one publish changed, at once. */
export interface VersionEvent {
  /** The discriminant of the union. */
  readonly type: 'version';
  /** The number of the version; versions arrive in order, once each. */
  readonly version: number;
  /** The moment of the commit, in Unix milliseconds by the broker's clock. */
  readonly at: number;
  /** The changes of the publish that the feed's topics let pass. */
  readonly changes: readonly Change[];
  /** The trace that the publish is part of, as W3C Trace Context writes it; absent where its publisher named none. */
  readonly traceparent?: string;
  /** The event that the publish tells, in the system where it happened; absent where its publisher named none. */
  readonly source?: SourceEvent;
}

/** An event in the system that a publish comes from. */
export interface SourceEvent {
  /** The kind and the name of the system, such as `postgres:newsreel`. */
  readonly name: string;
  /** The name that the event has there, such as an LSN or the id of a message. */
  readonly id?: string;
  /** When the event happened, in Unix milliseconds by the clock of that system. */
  readonly at?: number;
}

/**
 * A compacted part of the log, too old to be kept in full: one change for each target and kind, with the version at
 * which it was made, in order. The same fold may arrive again after a broken connection.
 */
export interface FoldEvent {
  /** The discriminant of the union. */
  readonly type: 'fold';
  /** The version that the fold leads up to. */
  readonly version: number;
  /** The changes, in the order of their versions. */
  readonly changes: readonly (Change & { readonly version: number })[];
}

/** The position that the feed held is not on the log: forget everything that was derived from it. */
export interface ResetEvent {
  /** The discriminant of the union. */
  readonly type: 'reset';
  /** The version from which the feed goes on. */
  readonly version: number;
  /** A change of everything, so that a handler which only looks at `changes` does right. */
  readonly changes: readonly [AllChange];
  /** The position from which the feed goes on. */
  readonly position: string;
  /** The reason, for people. */
  readonly reason: string;
}

/** An event of a feed, as loops and handlers get it. */
export type FeedEvent = VersionEvent | FoldEvent | ResetEvent;

type Row = Pick<VersionEvent, 'version' | 'at' | 'changes' | 'traceparent' | 'source'>;

/** Returns the versions above `after` of the text of a `changes` frame. The wasm has checked it. */
export function versionsOf(frame: string, after: number): VersionEvent[] {
  const { versions } = JSON.parse(frame) as { versions: Row[] };
  const fresh = versions.filter(({ version }) => version > after);
  return fresh.map(({ version, at, changes, traceparent, source }) => ({
    type: 'version', version, at, changes, ...(traceparent && { traceparent }), ...(source && { source }),
  }));
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
