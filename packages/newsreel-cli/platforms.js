// The platforms that the command is built for. Each has a package of its own, `@newsreel/cli-PLATFORM`, whose `os` and `cpu`
// make npm install the one that fits.

/** By Node's `platform-arch`: the target of the Rust compiler. Linux's are static, so that an old or another libc does not matter. */
export const TARGETS = {
  'darwin-arm64': 'aarch64-apple-darwin',
  'darwin-x64': 'x86_64-apple-darwin',
  'linux-arm64': 'aarch64-unknown-linux-musl',
  'linux-x64': 'x86_64-unknown-linux-musl',
};

export const packageOf = (platform) => `@newsreel/cli-${platform}`;
