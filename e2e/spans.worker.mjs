// A Worker that is told of the spans that the platform records, and writes a line for each of their attributes; for tests only.

export default {
  tailStream(onset) {
    const root = onset.event.info?.method ?? onset.event.info?.type;
    return ({ event }) => {
      if (event.type !== 'attributes') return;
      for (const { name, value } of event.info) if (name.startsWith('newsreel.')) console.error(`span of ${root}: ${name}=${value}`);
    };
  },
};
