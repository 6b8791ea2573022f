#!/usr/bin/env bash
# Formatting and lints, types, then all tests; what follows is for vitest: scripts/test.sh test/artefact
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash scripts/setup.sh --for test
PATH=$PWD/node_modules/.bin:$PATH
biome ci .
tsc
exec vitest run "$@"
