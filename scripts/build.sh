#!/usr/bin/env bash
# Builds dist/, what the launchers in bin/ run, where a source is newer than it. Two builds at once wait for each other;
# dist/ is replaced only by one that is complete.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PWD/node_modules/.bin:$PATH

mkdir -p .setup
if command -v flock >/dev/null; then
  exec 9>.setup/build.lock
  flock 9
fi

sources=(src rolldown.config.ts package-lock.json)
if [ -e dist/.built ] && [ -z "$(find "${sources[@]}" -newer dist/.built -print -quit)" ]; then exit 0; fi

new=.setup/dist
touch .setup/built # before the build: what changes meanwhile is built the next time
if ! rolldown -c rolldown.config.ts --dir "$new" >.setup/build.log 2>&1; then
  cat .setup/build.log >&2
  exit 1
fi
mv .setup/built "$new/.built"
rm -rf .setup/dist.old
[ ! -e dist ] || mv dist .setup/dist.old
mv "$new" dist
rm -rf .setup/dist.old
