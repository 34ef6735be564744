"""Checks of a server that stands there: alive, ready, over TLS, and which version it is."""

from __future__ import annotations

import http.client

from scripts.verify.deployment import Deployment, Failed, Skipped
from scripts.verify.web import Site, Unreachable, asking

__all__ = ["liveness", "platform_probe", "readiness", "tls", "version"]

HTTPS_PORT = 443
PROBE_HOST = "healthcheck.railway.app"


def liveness(deployment: Deployment) -> str:
    answer = deployment.ask("/health/liveness")
    if target := answer.headers.get("location", ""):
        raise Failed(f"answered {answer.status} and sent on to {target}; give that address")
    if answer.status != http.client.OK or answer.document().get("status") != "alive":
        raise Failed(f"answered {answer.said()}, which is no Switchyard server that lives")
    deployment.has.add("up")
    return "200 alive"


def tls(deployment: Deployment) -> str:
    """That the certificate holds is what liveness has shown; this looks at who comes without TLS."""
    if not deployment.site.is_tls:
        raise Skipped("the address is not https")
    site = deployment.site
    if site.port != HTTPS_PORT:
        return "the certificate holds"
    bare = Site("http", site.host, 80, site.prefix)
    try:
        return f"the certificate holds; {_sent_on(bare, timeout_s=deployment.timeout_s())}"
    except Unreachable:
        return "the certificate holds; nothing answers over http"


def _sent_on(bare: Site, *, timeout_s: float) -> str:
    with asking(bare, "GET", "/health/liveness", headers={}, timeout_s=timeout_s) as response:
        target = response.getheader("Location", "")
        if response.status in (301, 302, 307, 308) and target.startswith("https://"):
            return f"http is sent on to https with {response.status}"
        raise Failed(f"over http it answers {response.status} and does not send on to https")


def readiness(deployment: Deployment) -> str:
    answer = deployment.ask("/health/readiness")
    checks = answer.document().get("checks", {})
    wrong = [f"{name}: {says}" for name, says in checks.items() if says != "ok"]
    if answer.status != http.client.OK or answer.document().get("status") != "ready":
        raise Failed("; ".join([f"answered {answer.status}, not ready", *wrong]))
    deployment.has.add("ready")
    if wrong:
        raise Failed("; ".join(["ready, but", *wrong]))
    return f"ready; {', '.join(sorted(checks))}: ok"


def version(deployment: Deployment) -> str:
    document = deployment.ask("/health").document()
    if document.get("service") != "switchyard" or not document.get("version"):
        raise Failed("/health does not name service and version")
    return f"{document['version']}, up for {float(document.get('uptime', 0)):.0f} s"


def platform_probe(deployment: Deployment) -> str:
    """The platform asks for readiness under a host name of its own, straight at the process."""
    if deployment.site.is_tls:
        raise Skipped("the platform's proxy goes by the host name; only a direct http address can be asked")
    answer = deployment.ask("/health/readiness", headers={"Host": PROBE_HOST})
    if answer.status != http.client.OK:
        raise Failed(f"as {PROBE_HOST}: {answer.said()}; the platform would never send traffic here")
    return f"200 as {PROBE_HOST}"
