// The templates, each a folder of `template/`. One that is built `on` another has that one's files where it has none of its own.

import { fileURLToPath } from 'node:url';

import { CreateError } from './error.js';

const TEMPLATES = [
  {
    name: 'worker',
    meaning: 'a Worker of your own that reads and publishes through Newsreel, in plain JavaScript',
    then: ['curl -i http://127.0.0.1:8787/title:1', 'npm run change title:1'],
  },
  {
    name: 'hono',
    on: 'worker',
    meaning: 'the same in Hono, with the middleware newsreel-hono',
    then: ['curl -i http://127.0.0.1:8787/title:1', 'npm run change title:1'],
  },
  {
    name: 'next',
    meaning: 'a self-hosted Next.js app, whose processes hear the revalidations of each other',
    then: ['curl http://127.0.0.1:8788/title/1', 'npm run change title:1'],
  },
  {
    name: 'astro',
    on: 'worker',
    meaning: 'a site in Astro, with the cache provider newsreel-astro',
    then: ['curl -i http://127.0.0.1:8787/title:1', 'npm run change title:1'],
  },
  {
    name: 'origin',
    meaning: "Newsreel's Worker in front of a server of your own, which is plain JavaScript",
    then: ['curl -i http://127.0.0.1:8787/v1/catalogs/{{name}}/entries/title:1', 'npm run change title:1'],
  },
  {
    name: 'postgres',
    meaning: "Newsreel's Worker in front of PostgreSQL, which publishes what commits (DATABASE_URL)",
    then: ['curl -i http://127.0.0.1:8787/v1/catalogs/{{name}}/entries/title:1', 'npm run change title:1'],
  },
];

export const templates = () => TEMPLATES;

/** The folders of a template. A later one's file stands in place of an earlier one's. */
export function foldersOf(name) {
  const template = TEMPLATES.find((one) => one.name === name);
  if (!template) {
    const names = TEMPLATES.map((one) => one.name).join(', ');
    throw new CreateError(`no template is called '${name}': there are ${names}`);
  }
  const folder = fileURLToPath(new URL(`../template/${name}/`, import.meta.url));
  return template.on ? [...foldersOf(template.on), folder] : [folder];
}
