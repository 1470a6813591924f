import { test } from 'node:test';
import { Served } from './served.mjs';
import { Events } from './events.mjs';
import { TOKENS } from './system.mjs';
test('x', async (t) => {
  const served = await Served.at(t); await served.start(); const { broker } = served;
  const of = async () => (await broker.call('GET', '/followers', { token: TOKENS.admin })).json.streams;
  for (let round = 0; round < 4; round++) {
    let t0 = Date.now();
    const rs = await Promise.allSettled(Array.from({ length: 217 }, () => new Events(broker).connect()));
    console.log('opened', rs.filter(r => r.status === 'fulfilled').length, Date.now() - t0, 'ms; streams', await of());
    t0 = Date.now();
    for (const r of rs) r.value?.leave();
    await new Promise(r => setTimeout(r, 300));
    console.log('after leave', await of());
  }
});
