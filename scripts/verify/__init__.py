"""What `scripts/verify-deployment.sh` does: asks a deployment from outside, with Python's own library alone.

It runs on the machine of whoever deploys, so that it is kept to Python 3.9 and knows no room of the product:
all it may use of a server is what `docs/protocol.md` promises.
"""
