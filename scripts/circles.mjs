// Circles of imports between the files of a crate: which files need each other, by what their `use` lines say.

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Returns every module of a crate that has a file, as the path of its name and its text without comments and tests. */
function modulesOf(folder) {
  const files = readdirSync(folder, { recursive: true }).filter((file) => file.endsWith('.rs'));
  const modules = new Map();
  for (const file of files) {
    const parts = file.replace(/\.rs$/, '').split('/');
    if (parts.includes('tests') || parts.includes('bin')) continue;
    if (['lib', 'main', 'mod'].includes(parts.at(-1))) parts.pop();
    const text = readFileSync(join(folder, file), 'utf8').replace(/^\s*\/\/.*$/gm, '');
    const name = ['crate', ...parts].join('::');
    modules.set(name, `${modules.get(name) ?? ''}\n${text.split(/^#\[cfg\(test\)\]\s*mod tests \{/m)[0]}`);
  }
  return modules;
}

/** Returns the paths of a `use` tree, such as `a::{b, c::{d, e}}`. */
function pathsOf(tree) {
  const open = tree.indexOf('{');
  if (open < 0) return [tree.replace(/\s+as\s+\w+/, '').trim()];
  const [before, inside] = [tree.slice(0, open).trim(), tree.slice(open + 1, tree.lastIndexOf('}'))];
  const pieces = [''];
  let depth = 0;
  for (const character of inside) {
    if (character === '{') depth += 1;
    if (character === '}') depth -= 1;
    if (character === ',' && depth === 0) pieces.push('');
    else pieces[pieces.length - 1] += character;
  }
  return pieces.filter((piece) => piece.trim()).flatMap((piece) => pathsOf(before + piece.trim()));
}

/** Returns the module that a path names or is in; nothing for a path of another crate. */
function resolve(path, from, modules) {
  let parts = path.split('::');
  if (parts[0] === 'self') parts = [...from.split('::'), ...parts.slice(1)];
  else if (parts[0] === 'super') {
    const at = from.split('::');
    while (parts[0] === 'super') {
      at.pop();
      parts.shift();
    }
    parts = [...at, ...parts];
  } else if (modules.has(`${from}::${parts[0]}`)) parts = [...from.split('::'), ...parts];
  else if (parts[0] !== 'crate') return undefined;
  while (parts.length > 1 && !modules.has(parts.join('::'))) parts.pop();
  return parts.join('::');
}

/** Returns which modules each module of a crate uses. A name that is only passed on (`pub use`) is no use. */
export function importsOf(folder) {
  const modules = modulesOf(folder);
  const imports = new Map();
  for (const [name, text] of modules) {
    const uses = [...text.matchAll(/^\s*use ([^;]+);/gm)].flatMap((found) => pathsOf(found[1].replace(/\s+/g, ' ')));
    const used = uses.map((path) => resolve(path, name, modules)).filter((other) => other && other !== name);
    imports.set(name, new Set(used));
  }
  return imports;
}

/** Returns one circle for each group of modules that need each other, as the names along it. */
export function circlesOf(folder) {
  if (!existsSync(folder)) return [];
  const imports = importsOf(folder);
  const circles = [];
  const done = new Set();
  const visit = (name, way) => {
    const at = way.indexOf(name);
    if (at >= 0) return void circles.push([...way.slice(at), name]);
    if (done.has(name)) return;
    for (const other of imports.get(name) ?? []) visit(other, [...way, name]);
    done.add(name);
  };
  for (const name of imports.keys()) visit(name, []);
  return circles;
}
