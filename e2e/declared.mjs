// The names that a package's declarations export, read by the compiler itself.
//
// The compiler's API is not stable yet; package-lock.json holds the version that this was written for.

import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { SyntaxKind } from 'typescript/unstable/ast';
import { API } from 'typescript/unstable/sync';

/** The members of a declaration that its users see; none for a constant. */
function membersOf({ members, type }) {
  const all = members ?? (type?.kind === SyntaxKind.TypeLiteral ? type.members : []);
  return all.filter(({ name }) => name?.kind !== SyntaxKind.PrivateIdentifier);
}

const nameOf = (node, file) => node.name?.text ?? node.name?.getText?.(file) ?? SyntaxKind[node.kind];

/** The names that a statement declares, each with the node that carries its comment. */
function* declaredIn(statement, file) {
  const isExported = statement.modifiers?.some(({ kind }) => kind === SyntaxKind.ExportKeyword);
  if (!isExported) return;
  const list = statement.declarationList?.declarations;
  if (list) for (const one of list) yield { name: nameOf(one, file), node: statement };
  else yield { name: nameOf(statement, file), node: statement };
  for (const member of membersOf(statement)) {
    yield { name: `${nameOf(statement, file)}.${nameOf(member, file)}`, node: member };
  }
}

/** Whether a comment is its own. The first statement's first one is the file's. */
function isTold({ jsDoc = [] }, isFirst) {
  return jsDoc.length > (isFirst ? 1 : 0);
}

/** Every name that the declarations of a folder export, members included, and whether a comment tells of it. */
export function declared(folder) {
  const config = join(folder, 'tsconfig.json');
  writeFileSync(config, JSON.stringify({ compilerOptions: { noLib: true, types: [] }, files: declarations(folder) }));
  const api = new API();
  try {
    const [{ program }] = api.updateSnapshot({ openProjects: [config] }).getProjects();
    return declarations(folder).flatMap((path) => {
      const file = program.getSourceFile(join(folder, path));
      return file.statements.flatMap((statement, nth) =>
        [...declaredIn(statement, file)].map(({ name, node }) => ({ path, name, told: isTold(node, nth === 0 && node === statement) })),
      );
    });
  } finally {
    api.close();
  }
}

/** The declarations in a folder, without those that wasm-bindgen wrote. */
function declarations(folder) {
  const all = readdirSync(folder, { recursive: true }).filter((path) => path.endsWith('.d.ts'));
  return all.filter((path) => !path.startsWith('bindgen')).sort();
}
