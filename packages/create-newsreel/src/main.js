// The command line: reads the words, asks for a name if none is given, makes the folder, says what to do next.

import { basename, relative, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { parseArgs } from 'node:util';

import { create } from './create.js';
import { CreateError } from './error.js';
import { checkName } from './name.js';
import { templates } from './templates.js';

const DEFAULT_TEMPLATE = 'worker';
const OPTIONS = {
  template: { type: 'string', short: 't' },
  packages: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
};

function usage() {
  const list = templates().map(({ name, meaning }) => `  ${name.padEnd(10)} ${meaning}`);
  return `npm create newsreel NAME [-- OPTIONS]

Makes the folder NAME with Newsreel's Worker, a sample, and the commands to run and deploy both. NAME may be a path.

  -t, --template NAME   one of these; ${DEFAULT_TEMPLATE} if none is named:
${list.map((line) => `    ${line}`).join('\n')}
      --packages DIR    takes Newsreel's packages from a folder of tarballs (scripts/packages makes one)
  -h, --help            this text`;
}

/** Runs the command; returns its exit code. */
export async function main(words) {
  try {
    const { values, positionals } = parse(words);
    if (values.help) {
      console.log(usage());
      return 0;
    }
    if (positionals.length > 1) throw new CreateError(tooMany(positionals));
    const folder = resolve(positionals[0] ?? (await ask()));
    const name = checkName(basename(folder));
    // Without `--` before it, npm takes `--template=NAME` for an option of its own, and hands it on in the environment.
    const template = values.template ?? process.env.npm_config_template ?? DEFAULT_TEMPLATE;
    create({ folder, name, template, packages: values.packages });
    console.log(nextSteps(folder, name, template));
    return 0;
  } catch (error) {
    if (!(error instanceof CreateError)) throw error;
    console.error(`create-newsreel: ${error.message}`);
    return 1;
  }
}

function parse(words) {
  try {
    return parseArgs({ args: words, options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new CreateError(`${error.message.split('. To specify')[0]}\n\n${usage()}`);
  }
}

/** npm takes `--template` for its own where no `--` stands before it, and the template's name for one more word. */
function tooMany(names) {
  const hint = process.env.npm_config_template ? `\nAn option stands after --: npm create newsreel ${names[0]} -- --template ${names[1]}` : '';
  return `one name is wanted, and not ${names.length}: ${names.join(' ')}${hint}`;
}

async function ask() {
  if (!process.stdin.isTTY) throw new CreateError(`the name of the folder is missing\n\n${usage()}`);
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return (await terminal.question('Name of the folder (tv): ')).trim() || 'tv';
  } finally {
    terminal.close();
  }
}

/** The package manager that ran this command. */
function manager() {
  const [name] = (process.env.npm_config_user_agent ?? 'npm').split('/');
  return ['pnpm', 'yarn', 'bun'].includes(name) ? name : 'npm';
}

function nextSteps(folder, name, template) {
  const tool = manager();
  const path = relative('', folder);
  const { then } = templates().find((one) => one.name === template);
  const steps = [path && `cd ${path}`, `${tool} install`, `${tool} run dev`].filter(Boolean);
  return `Made ${path || 'this folder'}. Next:

${steps.map((step) => `  ${step}`).join('\n')}

and in another terminal:

${then.map((step) => `  ${step.replace(/^npm run/, `${tool} run`).replace('{{name}}', name)}`).join('\n')}
`;
}
