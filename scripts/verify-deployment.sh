#!/usr/bin/env bash
# Asks a deployment everything it promises, from outside, and prints a table: what was checked, how it went, what was seen.
#
#   scripts/verify-deployment.sh https://app.up.railway.app           what a stranger can see
#   scripts/verify-deployment.sh https://app.up.railway.app @token    and one run, of the agent --agent names
#   scripts/verify-deployment.sh --help                               the options
#
# Exits with 0 when no check failed, 1 when one did, 2 when it was asked wrongly. It needs bash and Python 3.9, and no
# packages: the machine of whoever deploys has no .venv.
set -euo pipefail

exec "$(dirname -- "${BASH_SOURCE[0]}")/on-any-python" scripts.verify "$@"
