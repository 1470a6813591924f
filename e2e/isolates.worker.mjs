// Newsreel's Worker twice in one, for tests only: two isolates of an edge, which share KV, R2 and objects and nothing else.

export * from './a/index.js';
export { default } from './a/index.js';
export { Newsreel as Second } from './b/index.js';
