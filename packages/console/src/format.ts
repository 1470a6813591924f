/** Numbers, times and changes as the console writes them. */

import type { Change } from './api.js';

const WHOLE = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });

/** Writes a whole number with its thousands apart. */
export const whole = (value: number): string => WHOLE.format(value);

/** Writes a number with three digits that count. */
export const short = (value: number): string => (Math.abs(value) >= 1000 ? WHOLE.format(value) : SHORT.format(value));

/** Writes a share in percent. */
export const percent = (share: number): string => `${SHORT.format(share * 100)} %`;

/** Writes a number of bytes. */
export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  const at = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, value)) / 10)));
  return `${SHORT.format(value / 1024 ** at)} ${units[at]}`;
}

/** Writes a length of time, in the unit that says most. */
export function duration(ms: number): string {
  if (ms < 1000) return `${SHORT.format(ms)} ms`;
  const steps: [number, string][] = [[86_400_000, 'd'], [3_600_000, 'h'], [60_000, 'min'], [1000, 's']];
  const [size, unit] = steps.find(([one]) => ms >= one) ?? [1000, 's'];
  return `${SHORT.format(ms / size)} ${unit}`;
}

/** Writes how long ago a moment was. */
export function ago(at: number, now = Date.now()): string {
  const ms = now - at;
  return ms < 1000 ? 'just now' : `${duration(ms)} ago`;
}

/** Writes the time of day, to the millisecond. */
export function clock(at: number): string {
  const date = new Date(at);
  const two = (value: number) => String(value).padStart(2, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}

/** Writes a sum of money in dollars. */
export function dollars(value: number): string {
  return value > 0 && value < 0.01 ? '< $0.01' : `$${value.toFixed(2)}`;
}

/** Returns the kind of a change's target and its name. */
export function targetOf(change: Change): { kind: 'key' | 'tag' | 'prefix' | 'all'; name: string } {
  if (change.key !== undefined) return { kind: 'key', name: change.key };
  if (change.tag !== undefined) return { kind: 'tag', name: change.tag };
  if (change.prefix !== undefined) return { kind: 'prefix', name: change.prefix };
  return { kind: 'all', name: 'everything' };
}

/** Returns the class of a key. */
export const classOf = (key: string): string => key.slice(0, Math.max(0, key.indexOf(':')));
