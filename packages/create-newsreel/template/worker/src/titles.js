// The sample's origin: the titles, in the SQLite of a Durable Object. In your Worker this is your database or your API.

import { DurableObject } from 'cloudflare:workers';

const SAMPLE = { 'title:1': 'The Lantern Keepers', 'title:2': 'Salt and Signal', 'title:3': 'The Long Relay' };

export class Titles extends DurableObject {
  #sql = this.ctx.storage.sql;

  constructor(context, env) {
    super(context, env);
    this.#sql.exec('CREATE TABLE IF NOT EXISTS titles (key TEXT PRIMARY KEY, title TEXT NOT NULL)');
    for (const [key, title] of Object.entries(SAMPLE)) {
      this.#sql.exec('INSERT INTO titles VALUES (?, ?) ON CONFLICT DO NOTHING', key, title);
    }
  }

  /** Returns a title, or null. */
  get(key) {
    const [row] = this.#sql.exec('SELECT key, title FROM titles WHERE key = ?', key);
    return row ?? null;
  }

  put(key, title) {
    this.#sql.exec('INSERT INTO titles VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET title = excluded.title', key, title);
  }
}
