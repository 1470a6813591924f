#!/usr/bin/env node
// The command create-newsreel. Written for an old Node too, to say that a newer one is needed.

const LEAST = [22, 12];

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < LEAST[0] || (major === LEAST[0] && minor < LEAST[1])) {
  console.error(
    `create-newsreel: Node ${LEAST.join('.')} or newer is needed, because wrangler needs it; this is Node ${process.versions.node}.\n` +
      'Install a newer one (nodejs.org), then run the same command again.',
  );
  process.exitCode = 1;
} else {
  import('./src/main.js')
    .then(({ main }) => main(process.argv.slice(2)))
    .then((code) => {
      process.exitCode = code;
    });
}
