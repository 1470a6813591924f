/**
 * The element `<newsreel-freshness>`: tells the reader of a page how old what they look at is.
 *
 * ```html
 * <script type="module">import 'newsreel/freshness';</script>
 * <newsreel-freshness src="/v1/catalogs/tv/entries/title:1"></newsreel-freshness>
 * ```
 *
 * @packageDocumentation
 */

import { type EnvelopeFreshness, type Level, type Standing, type Thresholds, ago, changesIn, levelOf, markOf, ofEnvelope, ofHeaders } from './standing.js';

export type { EnvelopeFreshness, Level, Mark, Standing } from './standing.js';

const STYLE = `
:host { display: inline-flex; align-items: center; gap: .4em; font: inherit; }
:host([hidden]) { display: none; }
.dot { inline-size: .6em; block-size: .6em; border-radius: 50%; background: var(--newsreel-fresh, #1a7f4b); flex: none; }
:host([level=aging]) .dot { background: var(--newsreel-aging, #b97900); border-radius: 15%; }
:host([level=stale]) .dot { background: var(--newsreel-stale, #b3261e); border-radius: 0; transform: rotate(45deg); }
:host(:not([level])) .dot { background: var(--newsreel-unknown, #888); }
`;

/** The words of the element, in English; a page in another language sets {@link FreshnessElement.words}. */
export interface FreshnessWords {
  /** Before the time: "updated 2 hours ago". */
  updated: (time: string) => string;
  /** What a screen reader hears beside the time, and what the pointer shows. */
  levels: Record<Level, string>;
  /** While nothing is known. */
  unknown: string;
}

const WORDS: FreshnessWords = {
  updated: (time) => `updated ${time}`,
  levels: { fresh: 'up to date', aging: 'being updated', stale: 'may be out of date' },
  unknown: 'age unknown',
};

// Where there is no DOM (a server that renders the page) the module only has to load.
const Base = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement;

/**
 * The element. What it shows comes from the attribute `src`, whose answer to `HEAD` it reads, or from {@link response} or
 * {@link envelope}, or from the attributes `updated` (Unix milliseconds or an ISO date) and `mark`, which a server writes.
 * `aging-after` and `stale-after`, in seconds, are the page's own thresholds.
 */
export class FreshnessElement extends Base {
  /** The attributes that are followed. */
  static readonly observedAttributes = ['src', 'updated', 'mark', 'aging-after', 'stale-after', 'lang'];

  #standing: Standing | undefined;
  #words = WORDS;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #asking: AbortController | undefined;
  #dot: HTMLElement | undefined;
  #time: HTMLTimeElement | undefined;

  /** Shows the age that the headers of an answer tell. */
  set response(response: Response) {
    this.#show(ofHeaders(response.headers, Date.now()));
  }

  /** Shows the age that an envelope (`?envelope=1`) tells: the envelope, or its member `freshness`. */
  set envelope(envelope: EnvelopeFreshness | { freshness: EnvelopeFreshness }) {
    this.#show(ofEnvelope('freshness' in envelope ? envelope.freshness : envelope));
  }

  /** Sets words of another language; those left out stay. */
  set words(words: Partial<FreshnessWords>) {
    this.#words = { ...this.#words, ...words };
    this.#draw();
  }

  /** What is known of the value; undefined while nothing is. */
  get standing(): Standing | undefined {
    return this.#standing;
  }

  /** Called by the browser. */
  connectedCallback(): void {
    if (!this.shadowRoot) this.#build();
    document.addEventListener('visibilitychange', this.#draw);
    this.#read();
  }

  /** Called by the browser. */
  disconnectedCallback(): void {
    document.removeEventListener('visibilitychange', this.#draw);
    clearTimeout(this.#timer);
    this.#asking?.abort();
  }

  /** Called by the browser. */
  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (!this.isConnected || before === after) return;
    if (name === 'src' || name === 'updated' || name === 'mark') this.#read();
    else this.#draw();
  }

  #build(): void {
    const root = this.attachShadow({ mode: 'open' });
    // No text becomes markup or an inline style: the strictest policy of a page lets this pass.
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    const made = <Name extends 'span' | 'time'>(name: Name, part: string) => {
      const element = document.createElement(name);
      element.setAttribute('part', part);
      root.append(element);
      return element;
    };
    this.#dot = made('span', 'dot');
    this.#dot.className = 'dot';
    this.#dot.setAttribute('role', 'img');
    this.#time = made('time', 'text');
  }

  /** Reads the attributes: what the server wrote counts until `src` has answered. */
  #read(): void {
    const updated = this.getAttribute('updated');
    if (updated !== null) {
      const updatedAt = /^\d+$/.test(updated) ? Number(updated) : Date.parse(updated);
      this.#show(Number.isNaN(updatedAt) ? undefined : { updatedAt, mark: markOf(this.getAttribute('mark') ?? 'fresh') });
    } else {
      this.#draw();
    }
    const src = this.getAttribute('src');
    if (src !== null) void this.#ask(src);
  }

  async #ask(src: string): Promise<void> {
    this.#asking?.abort();
    const asking = (this.#asking = new AbortController());
    try {
      const response = await fetch(src, { method: 'HEAD', signal: asking.signal });
      if (response.ok) this.response = response;
      else if (!this.#standing) this.#show(undefined);
    } catch {
      // Out of reach, or asked for something else meanwhile: what is shown stays, and grows older.
    }
  }

  #show(standing: Standing | undefined): void {
    this.#standing = standing;
    this.#draw();
  }

  readonly #draw = (): void => {
    clearTimeout(this.#timer);
    const [dot, time] = [this.#dot, this.#time];
    if (!dot || !time) return;
    const standing = this.#standing;
    const now = Date.now();
    if (!standing) {
      this.removeAttribute('level');
      time.removeAttribute('datetime');
      time.textContent = this.#words.unknown;
      dot.setAttribute('aria-label', this.#words.unknown);
      return;
    }
    const level = levelOf(standing, this.#thresholds(), now);
    const before = this.getAttribute('level');
    this.setAttribute('level', level);
    const says = this.#words.levels[level];
    dot.setAttribute('aria-label', says);
    dot.title = says;
    time.dateTime = new Date(standing.updatedAt).toISOString();
    time.title = new Date(standing.updatedAt).toLocaleString(this.#language());
    time.textContent = this.#words.updated(ago(standing.updatedAt, now, this.#language()));
    if (before !== level) this.dispatchEvent(new CustomEvent<Level>('levelchange', { detail: level, bubbles: true }));
    if (this.isConnected && !document.hidden) this.#timer = setTimeout(this.#draw, changesIn(standing.updatedAt, now));
  };

  #thresholds(): Thresholds {
    const seconds = (name: string) => {
      const given = this.getAttribute(name);
      return given !== null && /^\d+(\.\d+)?$/.test(given) ? Number(given) * 1000 : undefined;
    };
    const [agingAfter, staleAfter] = [seconds('aging-after'), seconds('stale-after')];
    return { ...(agingAfter === undefined ? {} : { agingAfter }), ...(staleAfter === undefined ? {} : { staleAfter }) };
  }

  #language(): string | undefined {
    return this.closest('[lang]')?.getAttribute('lang') || undefined;
  }
}

if (globalThis.customElements && !customElements.get('newsreel-freshness')) customElements.define('newsreel-freshness', FreshnessElement);
