//! Nothing: its tests are what `e2e/runner.test.mjs` runs, for which many of them fail.
