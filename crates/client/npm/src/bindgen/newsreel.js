/* @ts-self-types="./newsreel.d.ts" */

/**
 * A cache without its values.
 */
export class Cache {
    __destroy_into_raw() {
        const ptr = this.__wbg_ptr;
        this.__wbg_ptr = 0;
        CacheFinalization.unregister(this);
        return ptr;
    }
    free() {
        const ptr = this.__destroy_into_raw();
        wasm.__wbg_cache_free(ptr, 0);
    }
    /**
     * Begins a read in a turn of the event loop; returns its number. A bound below 0 is the class's;
     * `beyond` is a word as for [`Self::promise`], or 3 for the class's; `at_least` is empty, a position or
     * the part before its hash.
     *
     * # Errors
     * A text that begins with the code of the error.
     * @param {string} key
     * @param {number} bound
     * @param {number} beyond
     * @param {string} at_least
     * @param {boolean} anew
     * @param {number} tick
     * @param {number} now
     * @returns {number}
     */
    begin(key, bound, beyond, at_least, anew, tick, now) {
        const val3 = +bound;
        const val4 = +beyond;
        const val5 = +anew;
        const val6 = +tick;
        const val7 = +now;
        let ptr0, len0, ptr1, len1;
        try {
            ptr0 = passStringToWasm0(key, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
            len0 = WASM_VECTOR_LEN;
            ptr1 = passStringToWasm0(at_least, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
            len1 = WASM_VECTOR_LEN;
        } catch (e) {
            if (ptr1) { wasm.__wbindgen_free(ptr1, len1 * 1, 1); }
            if (ptr0) { wasm.__wbindgen_free(ptr0, len0 * 1, 1); }
            throw e;
        }
        const ret = wasm.cache_begin(this.__wbg_ptr, ptr0, len0, val3, val4, ptr1, len1, val5, val6, val7);
        if (ret[2]) {
            throw takeFromExternrefTable0(ret[1]);
        }
        return ret[0] >>> 0;
    }
    /**
     * Returns the flight that a read is to wait for. JavaScript calls the fetcher for a flight that it does
     * not know.
     * @param {number} walk
     * @param {number} tick
     * @param {number} now
     * @returns {number}
     */
    board(walk, tick, now) {
        const ret = wasm.cache_board(this.__wbg_ptr, walk, tick, now);
        return ret >>> 0;
    }
    /**
     * Drops every entry, and voids every flight under way.
     */
    clear() {
        wasm.cache_clear(this.__wbg_ptr);
    }
    /**
     * Drops the entry of a key, and voids the flights of the key; returns the entry's slot.
     * @param {string} key
     * @returns {number | undefined}
     */
    delete(key) {
        const ptr0 = passStringToWasm0(key, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
        const len0 = WASM_VECTOR_LEN;
        const ret = wasm.cache_delete(this.__wbg_ptr, ptr0, len0);
        return ret === Number.MAX_SAFE_INTEGER ? undefined : ret;
    }
    /**
     * Forgets a flight that no read waits for.
     * @param {number} flight
     */
    endFlight(flight) {
        wasm.cache_endFlight(this.__wbg_ptr, flight);
    }
    /**
     * Ends a read, answered or not.
     * @param {number} walk
     */
    end(walk) {
        wasm.cache_end(this.__wbg_ptr, walk);
    }
    /**
     * The flight that a read waited for brought nothing.
     * @param {number} walk
     * @param {number} now
     * @returns {string}
     */
    failed(walk, now) {
        let deferred1_0;
        let deferred1_1;
        try {
            const ret = wasm.cache_failed(this.__wbg_ptr, walk, now);
            deferred1_0 = ret[0];
            deferred1_1 = ret[1];
            return getStringFromWasm0(ret[0], ret[1]);
        } finally {
            wasm.__wbindgen_free(deferred1_0, deferred1_1, 1);
        }
    }
    /**
     * Returns the position at which the entry in a slot was filled; empty if there is none.
     * @param {number} slot
     * @returns {string}
     */
    filledAt(slot) {
        let deferred1_0;
        let deferred1_1;
        try {
            const ret = wasm.cache_filledAt(this.__wbg_ptr, slot);
            deferred1_0 = ret[0];
            deferred1_1 = ret[1];
            return getStringFromWasm0(ret[0], ret[1]);
        } finally {
            wasm.__wbindgen_free(deferred1_0, deferred1_1, 1);
        }
    }
    /**
     * Forgets all that was heard, and every entry: another session follows.
     */
    forget() {
        wasm.cache_forget(this.__wbg_ptr);
    }
    /**
     * Takes the changes of a session's last input; says whether JavaScript must drop all values.
     * @param {Session} session
     * @returns {boolean}
     */
    hear(session) {
        _assertClass(session, Session);
        const ret = wasm.cache_hear(this.__wbg_ptr, session.__wbg_ptr);
        return ret !== 0;
    }
    /**
     * Reads the entry in a slot. A miss changes nothing.
     * @param {number} slot
     * @param {number} now
     * @returns {Hit}
     */
    hit(slot, now) {
        const ret = wasm.cache_hit(this.__wbg_ptr, slot, now);
        return ret;
    }
    /**
     * Says whether the version that a read wants was heard.
     * @param {number} walk
     * @returns {boolean}
     */
    isHeard(walk) {
        const ret = wasm.cache_isHeard(this.__wbg_ptr, walk);
        return ret !== 0;
    }
    /**
     * Keeps the value that a flight brought to a read: returns its slot, then the slots of the entries
     * evicted for it; nothing if the value is not kept.
     * @param {number} walk
     * @param {number} flight
     * @returns {Uint32Array}
     */
    keep(walk, flight) {
        const ret = wasm.cache_keep(this.__wbg_ptr, walk, flight);
        var v1 = getArrayU32FromWasm0(ret[0], ret[1]).slice();
        wasm.__wbindgen_free(ret[0], ret[1] * 4, 4);
        return v1;
    }
    /**
     * Returns how many milliseconds ago it was last proved that everything had been heard.
     * @param {number} now
     * @returns {number | undefined}
     */
    lag(now) {
        const ret = wasm.cache_lag(this.__wbg_ptr, now);
        return ret[0] === 0 ? undefined : ret[1];
    }
    /**
     * A fetcher returned; times below 0 are the class's.
     *
     * # Errors
     * A text that says what is wrong with the tags.
     * @param {number} flight
     * @param {boolean} found
     * @param {string[]} tags
     * @param {number} ttl
     * @param {number} stale_for
     * @param {number} bytes
     */
    land(flight, found, tags, ttl, stale_for, bytes) {
        const val2 = +flight;
        const val3 = +found;
        const val4 = +ttl;
        const val5 = +stale_for;
        const val6 = +bytes;
        const ptr0 = passArrayJsValueToWasm0(tags, wasm.__wbindgen_malloc);
        const len0 = WASM_VECTOR_LEN;
        const ret = wasm.cache_land(this.__wbg_ptr, val2, val3, ptr0, len0, val4, val5, val6);
        if (ret[1]) {
            throw takeFromExternrefTable0(ret[0]);
        }
    }
    /**
     * Judges for a read the value of the flight that it waited for; returns the next step.
     * @param {number} walk
     * @param {number} flight
     * @param {number} now
     * @returns {string}
     */
    landed(walk, flight, now) {
        let deferred1_0;
        let deferred1_1;
        try {
            const ret = wasm.cache_landed(this.__wbg_ptr, walk, flight, now);
            deferred1_0 = ret[0];
            deferred1_1 = ret[1];
            return getStringFromWasm0(ret[0], ret[1]);
        } finally {
            wasm.__wbindgen_free(deferred1_0, deferred1_1, 1);
        }
    }
    /**
     * Returns an empty cache that knows nothing and promises nothing.
     * @param {number} max_entries
     * @param {number} max_bytes
     */
    constructor(max_entries, max_bytes) {
        const ret = wasm.cache_new(max_entries, max_bytes);
        this.__wbg_ptr = ret;
        CacheFinalization.register(this, this.__wbg_ptr, this);
        return this;
    }
    /**
     * Returns the position that reads are judged by; empty before there is one.
     * @returns {string}
     */
    position() {
        let deferred1_0;
        let deferred1_1;
        try {
            const ret = wasm.cache_position(this.__wbg_ptr);
            deferred1_0 = ret[0];
            deferred1_1 = ret[1];
            return getStringFromWasm0(ret[0], ret[1]);
        } finally {
            wasm.__wbindgen_free(deferred1_0, deferred1_1, 1);
        }
    }
    /**
     * Sets the policy of a class, in milliseconds; `beyond` is 0 stale, 1 fail, 2 fetch.
     * @param {string} _class
     * @param {number} ttl
     * @param {number} stale_for
     * @param {number} lag_bound
     * @param {number} beyond
     */
    promise(_class, ttl, stale_for, lag_bound, beyond) {
        const val2 = +ttl;
        const val3 = +stale_for;
        const val4 = +lag_bound;
        const val5 = +beyond;
        const ptr0 = passStringToWasm0(_class, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
        const len0 = WASM_VECTOR_LEN;
        wasm.cache_promise(this.__wbg_ptr, ptr0, len0, val2, val3, val4, val5);
    }
    /**
     * The proof that a read waited for has come, or will not in time.
     * @param {number} walk
     * @param {boolean} proved
     * @param {number} now
     * @returns {string}
     */
    proved(walk, proved, now) {
        let deferred1_0;
        let deferred1_1;
        try {
            const ret = wasm.cache_proved(this.__wbg_ptr, walk, proved, now);
            deferred1_0 = ret[0];
            deferred1_1 = ret[1];
            return getStringFromWasm0(ret[0], ret[1]);
        } finally {
            wasm.__wbindgen_free(deferred1_0, deferred1_1, 1);
        }
    }
    /**
     * Begins a read that fetches a key behind an answer, and returns its number; nothing if that is under
     * way.
     * @param {string} key
     * @param {number} tick
     * @param {number} now
     * @returns {number | undefined}
     */
    refresh(key, tick, now) {
        const val2 = +tick;
        const val3 = +now;
        const ptr0 = passStringToWasm0(key, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
        const len0 = WASM_VECTOR_LEN;
        const ret = wasm.cache_refresh(this.__wbg_ptr, ptr0, len0, val2, val3);
        return ret === Number.MAX_SAFE_INTEGER ? undefined : ret;
    }
    /**
     * Returns the number of entries, bytes and floors, then the counts of `COUNTED`.
     * @returns {Float64Array}
     */
    stats() {
        const ret = wasm.cache_stats(this.__wbg_ptr);
        var v1 = getArrayF64FromWasm0(ret[0], ret[1]).slice();
        wasm.__wbindgen_free(ret[0], ret[1] * 8, 8);
        return v1;
    }
    /**
     * Returns the next step of a read.
     * @param {number} walk
     * @returns {string}
     */
    step(walk) {
        let deferred1_0;
        let deferred1_1;
        try {
            const ret = wasm.cache_step(this.__wbg_ptr, walk);
            deferred1_0 = ret[0];
            deferred1_1 = ret[1];
            return getStringFromWasm0(ret[0], ret[1]);
        } finally {
            wasm.__wbindgen_free(deferred1_0, deferred1_1, 1);
        }
    }
}
if (Symbol.dispose) Cache.prototype[Symbol.dispose] = Cache.prototype.free;

/**
 * The answer of memory to a read without options.
 * @enum {0 | 1 | 2 | 3 | 4}
 */
export const Hit = Object.freeze({
    /**
     * Memory alone cannot answer: [`Cache::begin`] reads.
     */
    Miss: 0, "0": "Miss",
    /**
     * Serve the kept value.
     */
    Serve: 1, "1": "Serve",
    /**
     * Serve the kept value, and fetch it again behind the answer.
     */
    Refresh: 2, "2": "Refresh",
    /**
     * Serve the kept value, and ask for a proof behind the answer.
     */
    Prove: 3, "3": "Prove",
    /**
     * Serve the kept value, and do both behind the answer.
     */
    RefreshAndProve: 4, "4": "RefreshAndProve",
});

/**
 * One subscription: a follower, and what it heard for the caches attached to it.
 */
export class Session {
    __destroy_into_raw() {
        const ptr = this.__wbg_ptr;
        this.__wbg_ptr = 0;
        SessionFinalization.unregister(this);
        return ptr;
    }
    free() {
        const ptr = this.__destroy_into_raw();
        wasm.__wbg_session_free(ptr, 0);
    }
    /**
     * Hands in that the connection closed, or did not open.
     * @param {number} now
     * @param {number} code
     * @returns {string}
     */
    closed(now, code) {
        let deferred1_0;
        let deferred1_1;
        try {
            const ret = wasm.session_closed(this.__wbg_ptr, now, code);
            deferred1_0 = ret[0];
            deferred1_1 = ret[1];
            return getStringFromWasm0(ret[0], ret[1]);
        } finally {
            wasm.__wbindgen_free(deferred1_0, deferred1_1, 1);
        }
    }
    /**
     * Returns a session at rest. `from` is `now`, `start` or a position; `timing` the JSON of the caller's
     * times.
     *
     * # Errors
     * A text that says which of these cannot be.
     * @param {string} catalog
     * @param {string} name
     * @param {string[]} topics
     * @param {string} from
     * @param {string} timing
     */
    constructor(catalog, name, topics, from, timing) {
        let ptr0, len0, ptr1, len1, ptr2, len2, ptr3, len3, ptr4, len4;
        try {
            ptr0 = passStringToWasm0(catalog, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
            len0 = WASM_VECTOR_LEN;
            ptr1 = passStringToWasm0(name, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
            len1 = WASM_VECTOR_LEN;
            ptr2 = passArrayJsValueToWasm0(topics, wasm.__wbindgen_malloc);
            len2 = WASM_VECTOR_LEN;
            ptr3 = passStringToWasm0(from, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
            len3 = WASM_VECTOR_LEN;
            ptr4 = passStringToWasm0(timing, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
            len4 = WASM_VECTOR_LEN;
        } catch (e) {
            if (ptr4) { wasm.__wbindgen_free(ptr4, len4 * 1, 1); }
            if (ptr3) { wasm.__wbindgen_free(ptr3, len3 * 1, 1); }
            if (ptr2) { wasm.__externref_drop_slice(ptr2, len2); wasm.__wbindgen_free(ptr2, len2 * 4, 4); }
            if (ptr1) { wasm.__wbindgen_free(ptr1, len1 * 1, 1); }
            if (ptr0) { wasm.__wbindgen_free(ptr0, len0 * 1, 1); }
            throw e;
        }
        const ret = wasm.session_new(ptr0, len0, ptr1, len1, ptr2, len2, ptr3, len3, ptr4, len4);
        if (ret[2]) {
            throw takeFromExternrefTable0(ret[1]);
        }
        this.__wbg_ptr = ret[0];
        SessionFinalization.register(this, this.__wbg_ptr, this);
        return this;
    }
    /**
     * The connection is open.
     * @param {number} now
     * @returns {string}
     */
    opened(now) {
        let deferred1_0;
        let deferred1_1;
        try {
            const ret = wasm.session_opened(this.__wbg_ptr, now);
            deferred1_0 = ret[0];
            deferred1_1 = ret[1];
            return getStringFromWasm0(ret[0], ret[1]);
        } finally {
            wasm.__wbindgen_free(deferred1_0, deferred1_1, 1);
        }
    }
    /**
     * Asks for a proof that begins now, for a read that needs one.
     * @param {number} now
     * @returns {string}
     */
    prove(now) {
        let deferred1_0;
        let deferred1_1;
        try {
            const ret = wasm.session_prove(this.__wbg_ptr, now);
            deferred1_0 = ret[0];
            deferred1_1 = ret[1];
            return getStringFromWasm0(ret[0], ret[1]);
        } finally {
            wasm.__wbindgen_free(deferred1_0, deferred1_1, 1);
        }
    }
    /**
     * Returns since when it is proved that everything committed before has come.
     * @returns {number | undefined}
     */
    provedAt() {
        const ret = wasm.session_provedAt(this.__wbg_ptr);
        return ret[0] === 0 ? undefined : ret[1];
    }
    /**
     * Sets whether the session keeps the changes of its last input for caches.
     * @param {boolean} caches
     */
    setCaches(caches) {
        wasm.session_setCaches(this.__wbg_ptr, caches);
    }
    /**
     * Begins anew from the handled position, after effects that were not carried out.
     *
     * # Errors
     * When `from` is neither `now`, `start` nor a position.
     * @param {number} now
     * @param {string} from
     * @returns {string}
     */
    startAgain(now, from) {
        let deferred4_0;
        let deferred4_1;
        try {
            const val2 = +now;
            const ptr0 = passStringToWasm0(from, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
            const len0 = WASM_VECTOR_LEN;
            const ret = wasm.session_startAgain(this.__wbg_ptr, val2, ptr0, len0);
            var ptr3 = ret[0];
            var len3 = ret[1];
            if (ret[3]) {
                ptr3 = 0; len3 = 0;
                throw takeFromExternrefTable0(ret[2]);
            }
            deferred4_0 = ptr3;
            deferred4_1 = len3;
            return getStringFromWasm0(ptr3, len3);
        } finally {
            wasm.__wbindgen_free(deferred4_0, deferred4_1, 1);
        }
    }
    /**
     * Begins to follow; returns the first effects, as every input does, as a JSON list.
     * @param {number} now
     * @returns {string}
     */
    start(now) {
        let deferred1_0;
        let deferred1_1;
        try {
            const ret = wasm.session_start(this.__wbg_ptr, now);
            deferred1_0 = ret[0];
            deferred1_1 = ret[1];
            return getStringFromWasm0(ret[0], ret[1]);
        } finally {
            wasm.__wbindgen_free(deferred1_0, deferred1_1, 1);
        }
    }
    /**
     * Makes the next wait at least so many milliseconds.
     * @param {number} least_ms
     */
    stayAway(least_ms) {
        wasm.session_stayAway(this.__wbg_ptr, least_ms);
    }
    /**
     * Says that handlers are still at work, so that no page is missed meanwhile.
     * @param {number} now
     */
    stillApplying(now) {
        wasm.session_stillApplying(this.__wbg_ptr, now);
    }
    /**
     * Ends the session for good.
     * @param {number} now
     * @returns {string}
     */
    stop(now) {
        let deferred1_0;
        let deferred1_1;
        try {
            const ret = wasm.session_stop(this.__wbg_ptr, now);
            deferred1_0 = ret[0];
            deferred1_1 = ret[1];
            return getStringFromWasm0(ret[0], ret[1]);
        } finally {
            wasm.__wbindgen_free(deferred1_0, deferred1_1, 1);
        }
    }
    /**
     * Hands in a text that the broker sent.
     * @param {number} now
     * @param {string} text
     * @returns {string}
     */
    text(now, text) {
        let deferred3_0;
        let deferred3_1;
        try {
            const val2 = +now;
            const ptr0 = passStringToWasm0(text, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
            const len0 = WASM_VECTOR_LEN;
            const ret = wasm.session_text(this.__wbg_ptr, val2, ptr0, len0);
            deferred3_0 = ret[0];
            deferred3_1 = ret[1];
            return getStringFromWasm0(ret[0], ret[1]);
        } finally {
            wasm.__wbindgen_free(deferred3_0, deferred3_1, 1);
        }
    }
    /**
     * Returns when to call [`Self::timer`].
     * @returns {number | undefined}
     */
    timeout() {
        const ret = wasm.session_timeout(this.__wbg_ptr);
        return ret[0] === 0 ? undefined : ret[1];
    }
    /**
     * The time of [`Self::timeout`] has come.
     * @param {number} now
     * @returns {string}
     */
    timer(now) {
        let deferred1_0;
        let deferred1_1;
        try {
            const ret = wasm.session_timer(this.__wbg_ptr, now);
            deferred1_0 = ret[0];
            deferred1_1 = ret[1];
            return getStringFromWasm0(ret[0], ret[1]);
        } finally {
            wasm.__wbindgen_free(deferred1_0, deferred1_1, 1);
        }
    }
}
if (Symbol.dispose) Session.prototype[Symbol.dispose] = Session.prototype.free;

/**
 * Returns the message of the last panic; empty if there was none.
 * @returns {string}
 */
export function lastPanic() {
    let deferred1_0;
    let deferred1_1;
    try {
        const ret = wasm.lastPanic();
        deferred1_0 = ret[0];
        deferred1_1 = ret[1];
        return getStringFromWasm0(ret[0], ret[1]);
    } finally {
        wasm.__wbindgen_free(deferred1_0, deferred1_1, 1);
    }
}
function __wbg_get_imports() {
    const import0 = {
        __proto__: null,
        __wbg_Error_208446807d0d1e30: function(arg0, arg1) {
            const ret = Error(getStringFromWasm0(arg0, arg1));
            return ret;
        },
        __wbg___wbindgen_string_get_7ce8eee7fd327545: function(arg0, arg1) {
            const obj = arg1;
            const ret = typeof(obj) === 'string' ? obj : undefined;
            var ptr1 = isLikeNone(ret) ? 0 : passStringToWasm0(ret, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
            var len1 = WASM_VECTOR_LEN;
            getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 1, len1, true);
            getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 0, ptr1, true);
        },
        __wbg___wbindgen_throw_4c88d8bf264fd984: function(arg0, arg1) {
            throw new Error(getStringFromWasm0(arg0, arg1));
        },
        __wbg_getRandomValues_8b6f1f663e6f188d: function() { return handleError(function (arg0, arg1) {
            globalThis.crypto.getRandomValues(getArrayU8FromWasm0(arg0, arg1));
        }, arguments); },
        __wbindgen_init_externref_table: function() {
            const table = wasm.__wbindgen_externrefs;
            table.set(0, undefined);
            table.set(1024, undefined);
            table.set(1025, null);
            table.set(1026, true);
            table.set(1027, false);
        },
    };
    return {
        __proto__: null,
        "./newsreel_bg.js": import0,
    };
}

const CacheFinalization = (typeof FinalizationRegistry === 'undefined')
    ? { register: () => {}, unregister: () => {} }
    : new FinalizationRegistry(ptr => wasm.__wbg_cache_free(ptr, 1));
const SessionFinalization = (typeof FinalizationRegistry === 'undefined')
    ? { register: () => {}, unregister: () => {} }
    : new FinalizationRegistry(ptr => wasm.__wbg_session_free(ptr, 1));

function addToExternrefTable0(obj) {
    const idx = wasm.__externref_table_alloc();
    wasm.__wbindgen_externrefs.set(idx, obj);
    return idx;
}

function _assertClass(instance, klass) {
    if (!(instance instanceof klass)) {
        throw new Error(`expected instance of ${klass.name}`);
    }
}

function getArrayF64FromWasm0(ptr, len) {
    ptr = ptr >>> 0;
    return getFloat64ArrayMemory0().subarray(ptr / 8, ptr / 8 + len);
}

function getArrayU32FromWasm0(ptr, len) {
    ptr = ptr >>> 0;
    return getUint32ArrayMemory0().subarray(ptr / 4, ptr / 4 + len);
}

function getArrayU8FromWasm0(ptr, len) {
    ptr = ptr >>> 0;
    return getUint8ArrayMemory0().subarray(ptr / 1, ptr / 1 + len);
}

let cachedDataViewMemory0 = null;
function getDataViewMemory0() {
    if (cachedDataViewMemory0 === null || cachedDataViewMemory0.buffer.detached === true || (cachedDataViewMemory0.buffer.detached === undefined && cachedDataViewMemory0.buffer !== wasm.memory.buffer)) {
        cachedDataViewMemory0 = new DataView(wasm.memory.buffer);
    }
    return cachedDataViewMemory0;
}

let cachedFloat64ArrayMemory0 = null;
function getFloat64ArrayMemory0() {
    if (cachedFloat64ArrayMemory0 === null || cachedFloat64ArrayMemory0.byteLength === 0) {
        cachedFloat64ArrayMemory0 = new Float64Array(wasm.memory.buffer);
    }
    return cachedFloat64ArrayMemory0;
}

function getStringFromWasm0(ptr, len) {
    ptr = ptr >>> 0;
    return decodeText(getUint8ArrayMemory0().subarray(ptr, ptr + len));
}

let cachedUint32ArrayMemory0 = null;
function getUint32ArrayMemory0() {
    if (cachedUint32ArrayMemory0 === null || cachedUint32ArrayMemory0.byteLength === 0) {
        cachedUint32ArrayMemory0 = new Uint32Array(wasm.memory.buffer);
    }
    return cachedUint32ArrayMemory0;
}

let cachedUint8ArrayMemory0 = null;
function getUint8ArrayMemory0() {
    if (cachedUint8ArrayMemory0 === null || cachedUint8ArrayMemory0.byteLength === 0) {
        cachedUint8ArrayMemory0 = new Uint8Array(wasm.memory.buffer);
    }
    return cachedUint8ArrayMemory0;
}

function handleError(f, args) {
    try {
        return f.apply(this, args);
    } catch (e) {
        const idx = addToExternrefTable0(e);
        wasm.__wbindgen_exn_store(idx);
    }
}

function isLikeNone(x) {
    return x === undefined || x === null;
}

function passArrayJsValueToWasm0(array, malloc) {
    const ptr = malloc(array.length * 4, 4) >>> 0;
    for (let i = 0; i < array.length; i++) {
        const add = addToExternrefTable0(array[i]);
        getDataViewMemory0().setUint32(ptr + 4 * i, add, true);
    }
    WASM_VECTOR_LEN = array.length;
    return ptr;
}

function passStringToWasm0(arg, malloc, realloc) {
    if (realloc === undefined) {
        const buf = cachedTextEncoder.encode(arg);
        const ptr = malloc(buf.length, 1) >>> 0;
        getUint8ArrayMemory0().subarray(ptr, ptr + buf.length).set(buf);
        WASM_VECTOR_LEN = buf.length;
        return ptr;
    }

    let len = arg.length;
    let ptr = malloc(len, 1) >>> 0;

    const mem = getUint8ArrayMemory0();

    let offset = 0;

    for (; offset < len; offset++) {
        const code = arg.charCodeAt(offset);
        if (code > 0x7F) break;
        mem[ptr + offset] = code;
    }
    if (offset !== len) {
        if (offset !== 0) {
            arg = arg.slice(offset);
        }
        ptr = realloc(ptr, len, len = offset + arg.length * 3, 1) >>> 0;
        const view = getUint8ArrayMemory0().subarray(ptr + offset, ptr + len);
        const ret = cachedTextEncoder.encodeInto(arg, view);

        offset += ret.written;
        ptr = realloc(ptr, len, offset, 1) >>> 0;
    }

    WASM_VECTOR_LEN = offset;
    return ptr;
}

function takeFromExternrefTable0(idx) {
    const value = wasm.__wbindgen_externrefs.get(idx);
    wasm.__externref_table_dealloc(idx);
    return value;
}

let cachedTextDecoder = new TextDecoder('utf-8', { ignoreBOM: true });
cachedTextDecoder.decode();
const MAX_SAFARI_DECODE_BYTES = 2146435072;
let numBytesDecoded = 0;
function decodeText(bytes) {
    numBytesDecoded += bytes.length;
    if (numBytesDecoded >= MAX_SAFARI_DECODE_BYTES) {
        cachedTextDecoder = new TextDecoder('utf-8', { ignoreBOM: true });
        cachedTextDecoder.decode();
        numBytesDecoded = bytes.length;
    }
    return cachedTextDecoder.decode(bytes);
}

const cachedTextEncoder = new TextEncoder();

if (!('encodeInto' in cachedTextEncoder)) {
    cachedTextEncoder.encodeInto = function (arg, view) {
        const buf = cachedTextEncoder.encode(arg);
        view.set(buf);
        return {
            read: arg.length,
            written: buf.length
        };
    };
}

let WASM_VECTOR_LEN = 0;

let wasmModule, wasmInstance, wasm;
function __wbg_finalize_init(instance, module) {
    wasmInstance = instance;
    wasm = instance.exports;
    wasmModule = module;
    cachedDataViewMemory0 = null;
    cachedFloat64ArrayMemory0 = null;
    cachedUint32ArrayMemory0 = null;
    cachedUint8ArrayMemory0 = null;
    wasm.__wbindgen_start();
    return wasm;
}

async function __wbg_load(module, imports) {
    if (typeof Response === 'function' && module instanceof Response) {
        if (!module.ok) {
            throw new Error(`failed to fetch Wasm: ${module.status} ${module.statusText} fetching '${module.url}'`);
        }

        if (typeof WebAssembly.instantiateStreaming === 'function') {
            try {
                return await WebAssembly.instantiateStreaming(module, imports);
            } catch (e) {
                const validResponse = expectedResponseType(module.type);

                if (validResponse && module.headers.get('Content-Type') !== 'application/wasm') {
                    console.warn("`WebAssembly.instantiateStreaming` failed because your server does not serve Wasm with `application/wasm` MIME type. Falling back to `WebAssembly.instantiate` which is slower. Original error:\n", e);

                } else { throw e; }
            }
        }

        const bytes = await module.arrayBuffer();
        return await WebAssembly.instantiate(bytes, imports);
    } else {
        const instance = await WebAssembly.instantiate(module, imports);

        if (instance instanceof WebAssembly.Instance) {
            return { instance, module };
        } else {
            return instance;
        }
    }

    function expectedResponseType(type) {
        switch (type) {
            case 'basic': case 'cors': case 'default': return true;
        }
        return false;
    }
}

function initSync(module) {
    if (wasm !== undefined) return wasm;


    if (module !== undefined) {
        if (Object.getPrototypeOf(module) === Object.prototype) {
            ({module} = module)
        } else {
            console.warn('using deprecated parameters for `initSync()`; pass a single object instead')
        }
    }

    const imports = __wbg_get_imports();
    if (!(module instanceof WebAssembly.Module)) {
        module = new WebAssembly.Module(module);
    }
    const instance = new WebAssembly.Instance(module, imports);
    return __wbg_finalize_init(instance, module);
}

let __wbg_init_promise;
async function __wbg_init(module_or_path) {
    if (wasm !== undefined) return wasm;
    if (__wbg_init_promise === undefined) {
        __wbg_init_promise = __wbg_init_once(module_or_path);
        __wbg_init_promise.catch(() => { __wbg_init_promise = undefined; });
    }
    return __wbg_init_promise;
}

async function __wbg_init_once(module_or_path) {

    if (module_or_path !== undefined) {
        if (Object.getPrototypeOf(module_or_path) === Object.prototype) {
            ({module_or_path} = module_or_path)
        } else {
            console.warn('using deprecated parameters for the initialization function; pass a single object instead')
        }
    }


    const imports = __wbg_get_imports();

    if (typeof module_or_path === 'string' || (typeof Request === 'function' && module_or_path instanceof Request) || (typeof URL === 'function' && module_or_path instanceof URL)) {
        module_or_path = fetch(module_or_path);
    }

    const { instance, module } = await __wbg_load(await module_or_path, imports);

    return __wbg_finalize_init(instance, module);
}

export { initSync, __wbg_init as default };
