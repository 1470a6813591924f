export default { experimental: { useCache: true }, turbopack: { root: import.meta.dirname } };
