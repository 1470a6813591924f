// The race's time: SPEED times as fast as the platform's, so that a minute of KV's lag takes 0.6 s. What the race itself times
// goes by it: KV's lag, renders, the purges that a minute allows. The contenders' own code goes by the platform's clock.

export const SPEED = 100;

export const clock = {
  /** Milliseconds of the race, from some moment on. */
  get now() {
    return performance.now() * SPEED;
  },
  sleep: (ms) => scheduler.wait(ms / SPEED),
};
