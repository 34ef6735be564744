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

# Railway's command line goes by the folder it is started in.
CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
exec scripts/on-any-python scripts.railway_setup "$@"
