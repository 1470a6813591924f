// The cache in front of a Worker, purged by tag.

export const cdnPurge = ({ cdn }) => ({
  name: 'Cache with purge by tag',
  version: 'platform',
  async read({ location, page, tag, render }) {
    const kept = cdn.match(location, page);
    if (kept !== undefined) return { value: kept };
    const value = await render();
    cdn.put(location, page, value, [tag]);
    return { value };
  },
  revalidate: ({ tag }) => cdn.purge({ tags: [tag] }),
});
