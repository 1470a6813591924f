// `npm run change title:1`: changes a title by the one process, and reads its page of the other before and after.

const port = Number(process.env.PORT ?? 8787);
const [, id] = (process.argv[2] ?? 'title:1').split(':');

async function ask(address, request) {
  try {
    return await (await fetch(address, request)).text();
  } catch (error) {
    console.error(`${address} does not answer (${error.cause?.code ?? error.message}): is \`npm run dev\` running?`);
    process.exit(1);
  }
}

const read = async () => /<main>(.*?)<\/main>/.exec(await ask(`http://127.0.0.1:${port + 2}/title/${id}`))?.[1];
const change = { method: 'PUT', headers: { Authorization: 'Bearer dev-edit' }, body: `Changed at ${new Date().toISOString()}` };

console.log(`process 2 before  ${await read()}`);
console.log(`process 1         ${await ask(`http://127.0.0.1:${port + 1}/api/title/${id}`, change)}`);
console.log(`process 2 after   ${await read()}`);
