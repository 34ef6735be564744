#!/usr/bin/env bash
# Sets Switchyard up on Railway: a project with the services web and worker, their variables and a domain; with --nats
# and --redis those too. It prints its plan, asks once, and does only what is not there yet, so that it can be run again.
#
#   scripts/railway-setup.sh --dry-run           the plan, with every command
#   scripts/railway-setup.sh --nats --redis      all of it
#   scripts/railway-setup.sh --help              the options
#
# Written against the sources of Railway's command line 5.49 (`npm install -g @railway/cli`), and tested with a stub of
# it only: no test of this repository has talked to Railway. It needs bash, Python 3.9 and that command line.
set -euo pipefail

main() {
  local python
  python="$(find_python)"
  CDPATH='' cd -- "${BASH_SOURCE[0]%/*}/.."
  # Whatever is installed beside Python's own library is left out (-S), and so is what the environment says to it (-E).
  exec "$python" -E -S -m scripts.railway_setup "$@"
}

find_python() {
  local candidate
  for candidate in python3 python3.13 python3.12 python3.11 python; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  echo "railway-setup: no Python 3.9 or newer is on PATH" >&2
  exit 2
}

main "$@"
