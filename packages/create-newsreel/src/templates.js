// The templates, each a folder of `template/`.

import { fileURLToPath } from 'node:url';

import { CreateError } from './error.js';

const TEMPLATES = [
  {
    name: 'worker',
    meaning: 'a Worker of your own that reads and publishes through Newsreel, in plain JavaScript',
    then: ['curl -i http://127.0.0.1:8787/title:1', 'npm run change title:1'],
  },
  {
    name: 'origin',
    meaning: "Newsreel's Worker in front of a server of your own, which is plain JavaScript",
    then: ['curl -i http://127.0.0.1:8787/v1/catalogs/{{name}}/entries/title:1', 'npm run change title:1'],
  },
];

export const templates = () => TEMPLATES;

/** The folder of a template. */
export function folderOf(name) {
  if (!TEMPLATES.some((template) => template.name === name)) {
    const names = TEMPLATES.map((template) => template.name).join(', ');
    throw new CreateError(`no template is called '${name}': there are ${names}`);
  }
  return fileURLToPath(new URL(`../template/${name}/`, import.meta.url));
}
