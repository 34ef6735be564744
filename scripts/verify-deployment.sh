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

main() {
  local python
  python="$(find_python)"
  CDPATH='' cd -- "${BASH_SOURCE[0]%/*}/.."
  # Whatever is installed beside Python's own library is left out (-S), and so is what the environment says to it (-E).
  exec "$python" -E -S -m scripts.verify "$@"
}

find_python() {
  local candidate
  for candidate in python3 python3.13 python3.12 python3.11 python; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  echo "verify: no Python 3.9 or newer is on PATH" >&2
  exit 2
}

main "$@"
