// Workers KV by hand: a change deletes the page.

export const plainKv = ({ kv }) => ({
  name: 'Workers KV, delete on change',
  version: 'platform',
  async read({ location, page, render }) {
    const namespace = kv.at(location);
    const kept = await namespace.get(page);
    if (kept !== null) return { value: Number(kept) };
    const value = await render();
    await namespace.put(page, String(value), { expirationTtl: 3_600 });
    return { value };
  },
  revalidate: ({ location, page }) => kv.at(location).delete(page),
});
