#!/usr/bin/env bash
# Formatting and lints, types, then all tests; what follows is for vitest: scripts/test.sh test/artefact
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash scripts/setup.sh --for test
PATH=$PWD/node_modules/.bin:$PATH
biome ci .
tsc
rm -f .setup/tests.json
status=0
vitest run --reporter=default --reporter=json --outputFile.json=.setup/tests.json "$@" || status=$?
node --print '
  const { numPassedTests, numFailedTests, numPendingTests } = JSON.parse(fs.readFileSync(".setup/tests.json"));
  `${numPassedTests} passed, ${numFailedTests} failed, ${numPendingTests} skipped`;
'
exit "$status"
