/* tslint:disable */
/* eslint-disable */

/**
 * A cache without its values.
 */
export class Cache {
    free(): void;
    [Symbol.dispose](): void;
    /**
     * Begins a read in a turn of the event loop; returns its number. A bound below 0 is the class's;
     * `beyond` is a word as for [`Self::promise`], or 3 for the class's; `at_least` is empty, a position or
     * the part before its hash.
     *
     * # Errors
     * A text that begins with the code of the error.
     */
    begin(key: string, bound: number, beyond: number, at_least: string, anew: boolean, tick: number, now: number): number;
    /**
     * Returns the flight that a read is to wait for. JavaScript calls the fetcher for a flight that it does
     * not know.
     */
    board(walk: number, tick: number, now: number): number;
    /**
     * Drops every entry, and voids every flight under way.
     */
    clear(): void;
    /**
     * Drops the entry of a key, and voids the flights of the key; returns the entry's slot.
     */
    delete(key: string): number | undefined;
    /**
     * Forgets a flight that no read waits for.
     */
    endFlight(flight: number): void;
    /**
     * Ends a read, answered or not.
     */
    end(walk: number): void;
    /**
     * The flight that a read waited for brought nothing.
     */
    failed(walk: number, now: number): string;
    /**
     * Returns the position at which the entry in a slot was filled; empty if there is none.
     */
    filledAt(slot: number): string;
    /**
     * Forgets all that was heard, and every entry: another session follows.
     */
    forget(): void;
    /**
     * Takes the changes of a session's last input; says whether JavaScript must drop all values.
     */
    hear(session: Session): boolean;
    /**
     * Reads the entry in a slot. A miss changes nothing.
     */
    hit(slot: number, now: number): Hit;
    /**
     * Says whether the version that a read wants was heard.
     */
    isHeard(walk: number): boolean;
    /**
     * Keeps the value that a flight brought to a read: returns its slot, then the slots of the entries
     * evicted for it; nothing if the value is not kept.
     */
    keep(walk: number, flight: number): Uint32Array;
    /**
     * Returns how many milliseconds ago it was last proved that everything had been heard.
     */
    lag(now: number): number | undefined;
    /**
     * A fetcher returned; times below 0 are the class's.
     *
     * # Errors
     * A text that says what is wrong with the tags.
     */
    land(flight: number, found: boolean, tags: string[], ttl: number, stale_for: number, bytes: number): void;
    /**
     * Judges for a read the value of the flight that it waited for; returns the next step.
     */
    landed(walk: number, flight: number, now: number): string;
    /**
     * Returns an empty cache that knows nothing and promises nothing.
     */
    constructor(max_entries: number, max_bytes: number);
    /**
     * Returns the position that reads are judged by; empty before there is one.
     */
    position(): string;
    /**
     * Sets the policy of a class, in milliseconds; `beyond` is 0 stale, 1 fail, 2 fetch.
     */
    promise(_class: string, ttl: number, stale_for: number, lag_bound: number, beyond: number): void;
    /**
     * The proof that a read waited for has come, or will not in time.
     */
    proved(walk: number, proved: boolean, now: number): string;
    /**
     * Begins a read that fetches a key behind an answer, and returns its number; nothing if that is under
     * way.
     */
    refresh(key: string, tick: number, now: number): number | undefined;
    /**
     * Returns the number of entries, bytes and floors, then the counts of `COUNTED`.
     */
    stats(): Float64Array;
    /**
     * Returns the next step of a read.
     */
    step(walk: number): string;
}

/**
 * The answer of memory to a read without options.
 */
export enum Hit {
    /**
     * Memory alone cannot answer: [`Cache::begin`] reads.
     */
    Miss = 0,
    /**
     * Serve the kept value.
     */
    Serve = 1,
    /**
     * Serve the kept value, and fetch it again behind the answer.
     */
    Refresh = 2,
    /**
     * Serve the kept value, and ask for a proof behind the answer.
     */
    Prove = 3,
    /**
     * Serve the kept value, and do both behind the answer.
     */
    RefreshAndProve = 4,
}

/**
 * One subscription: a follower, and what it heard for the caches attached to it.
 */
export class Session {
    free(): void;
    [Symbol.dispose](): void;
    /**
     * Hands in that the connection closed, or did not open.
     */
    closed(now: number, code: number): string;
    /**
     * Returns a session at rest. `from` is `now`, `start` or a position; `timing` the JSON of the caller's
     * times.
     *
     * # Errors
     * A text that says which of these cannot be.
     */
    constructor(catalog: string, name: string, topics: string[], from: string, timing: string);
    /**
     * The connection is open.
     */
    opened(now: number): string;
    /**
     * Asks for a proof that begins now, for a read that needs one.
     */
    prove(now: number): string;
    /**
     * Returns since when it is proved that everything committed before has come.
     */
    provedAt(): number | undefined;
    /**
     * Sets whether the session keeps the changes of its last input for caches.
     */
    setCaches(caches: boolean): void;
    /**
     * Begins anew from the handled position, after effects that were not carried out.
     *
     * # Errors
     * When `from` is neither `now`, `start` nor a position.
     */
    startAgain(now: number, from: string): string;
    /**
     * Begins to follow; returns the first effects, as every input does, as a JSON list.
     */
    start(now: number): string;
    /**
     * Makes the next wait at least so many milliseconds.
     */
    stayAway(least_ms: number): void;
    /**
     * Says that handlers are still at work, so that no page is missed meanwhile.
     */
    stillApplying(now: number): void;
    /**
     * Ends the session for good.
     */
    stop(now: number): string;
    /**
     * Hands in a text that the broker sent.
     */
    text(now: number, text: string): string;
    /**
     * Returns when to call [`Self::timer`].
     */
    timeout(): number | undefined;
    /**
     * The time of [`Self::timeout`] has come.
     */
    timer(now: number): string;
}

/**
 * Returns the message of the last panic; empty if there was none.
 */
export function lastPanic(): string;

export type InitInput = RequestInfo | URL | Response | BufferSource | WebAssembly.Module;

export interface InitOutput {
    readonly memory: WebAssembly.Memory;
    readonly __wbg_cache_free: (a: number, b: number) => void;
    readonly __wbg_session_free: (a: number, b: number) => void;
    readonly cache_begin: (a: number, b: number, c: number, d: number, e: number, f: number, g: number, h: number, i: number, j: number) => [number, number, number];
    readonly cache_board: (a: number, b: number, c: number, d: number) => number;
    readonly cache_clear: (a: number) => void;
    readonly cache_delete: (a: number, b: number, c: number) => number;
    readonly cache_end: (a: number, b: number) => void;
    readonly cache_endFlight: (a: number, b: number) => void;
    readonly cache_failed: (a: number, b: number, c: number) => [number, number];
    readonly cache_filledAt: (a: number, b: number) => [number, number];
    readonly cache_forget: (a: number) => void;
    readonly cache_hear: (a: number, b: number) => number;
    readonly cache_hit: (a: number, b: number, c: number) => number;
    readonly cache_isHeard: (a: number, b: number) => number;
    readonly cache_keep: (a: number, b: number, c: number) => [number, number];
    readonly cache_lag: (a: number, b: number) => [number, number];
    readonly cache_land: (a: number, b: number, c: number, d: number, e: number, f: number, g: number, h: number) => [number, number];
    readonly cache_landed: (a: number, b: number, c: number, d: number) => [number, number];
    readonly cache_new: (a: number, b: number) => number;
    readonly cache_position: (a: number) => [number, number];
    readonly cache_promise: (a: number, b: number, c: number, d: number, e: number, f: number, g: number) => void;
    readonly cache_proved: (a: number, b: number, c: number, d: number) => [number, number];
    readonly cache_refresh: (a: number, b: number, c: number, d: number, e: number) => number;
    readonly cache_stats: (a: number) => [number, number];
    readonly cache_step: (a: number, b: number) => [number, number];
    readonly lastPanic: () => [number, number];
    readonly session_closed: (a: number, b: number, c: number) => [number, number];
    readonly session_new: (a: number, b: number, c: number, d: number, e: number, f: number, g: number, h: number, i: number, j: number) => [number, number, number];
    readonly session_opened: (a: number, b: number) => [number, number];
    readonly session_prove: (a: number, b: number) => [number, number];
    readonly session_provedAt: (a: number) => [number, number];
    readonly session_setCaches: (a: number, b: number) => void;
    readonly session_start: (a: number, b: number) => [number, number];
    readonly session_startAgain: (a: number, b: number, c: number, d: number) => [number, number, number, number];
    readonly session_stayAway: (a: number, b: number) => void;
    readonly session_stillApplying: (a: number, b: number) => void;
    readonly session_stop: (a: number, b: number) => [number, number];
    readonly session_text: (a: number, b: number, c: number, d: number) => [number, number];
    readonly session_timeout: (a: number) => [number, number];
    readonly session_timer: (a: number, b: number) => [number, number];
    readonly __wbindgen_malloc: (a: number, b: number) => number;
    readonly __wbindgen_realloc: (a: number, b: number, c: number, d: number) => number;
    readonly __wbindgen_free: (a: number, b: number, c: number) => void;
    readonly __wbindgen_exn_store: (a: number) => void;
    readonly __externref_table_alloc: () => number;
    readonly __wbindgen_externrefs: WebAssembly.Table;
    readonly __externref_table_dealloc: (a: number) => void;
    readonly __externref_drop_slice: (a: number, b: number) => void;
    readonly __wbindgen_start: () => void;
}

export type SyncInitInput = BufferSource | WebAssembly.Module;

/**
 * Instantiates the given `module`, which can either be bytes or
 * a precompiled `WebAssembly.Module`.
 *
 * @param {{ module: SyncInitInput }} module - Passing `SyncInitInput` directly is deprecated.
 *
 * @returns {InitOutput}
 */
export function initSync(module: { module: SyncInitInput } | SyncInitInput): InitOutput;

/**
 * If `module_or_path` is {RequestInfo} or {URL}, makes a request and
 * for everything else, calls `WebAssembly.instantiate` directly.
 *
 * @param {{ module_or_path: InitInput | Promise<InitInput> }} module_or_path - Passing `InitInput` directly is deprecated.
 *
 * @returns {Promise<InitOutput>}
 */
export default function __wbg_init (module_or_path: { module_or_path: InitInput | Promise<InitInput> } | InitInput | Promise<InitInput>): Promise<InitOutput>;
