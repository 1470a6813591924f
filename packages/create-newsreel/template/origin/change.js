// `npm run change title:1`: changes a title at the origin, and reads the title at the edge before and after.

const port = Number(process.env.PORT ?? 8787);
const key = process.argv[2] ?? 'title:1';

/** Sends a request to one of the two servers of `npm run dev`; returns the text of the answer. */
async function ask(address, request) {
  try {
    const response = await fetch(address, request);
    return await response.text();
  } catch (error) {
    console.error(`${address} does not answer (${error.cause?.code ?? error.message}): is \`npm run dev\` running?`);
    process.exit(1);
  }
}

const read = () => ask(`http://127.0.0.1:${port}/v1/catalogs/{{name}}/entries/${key}`);
const change = (title) => ask(`http://127.0.0.1:${port + 1}/{{name}}/${key}`, { method: 'PUT', body: JSON.stringify({ title }) });

console.log(`edge before  ${await read()}`);
console.log(`published    ${await change(`Changed at ${new Date().toISOString()}`)}`);
console.log(`edge after   ${await read()}`);
