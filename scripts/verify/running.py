"""Checks that start one run and follow it to its end: executed, streamed while it ran, charged once."""

from __future__ import annotations

import json
import time
import uuid

from scripts.verify.deployment import Deployment, Failed, Run
from scripts.verify.orders import order_for
from scripts.verify.stream import Reader
from scripts.verify.web import Answer, Document

__all__ = ["charged_once", "executed", "token_taken"]

EXECUTE = "/api/agent/execute"
ENDED = ("succeeded", "failed", "cancelled")
PAUSE_S, LONGEST_PAUSE_S = 0.1, 1.0
# After the run has ended, its stream has this long to end too.
STREAM_ENDS_WITHIN_S = 5.0


def token_taken(deployment: Deployment) -> str:
    answer = deployment.ask("/api/credits", is_known=True)
    if answer.status != 200:
        raise Failed(f"the token is refused: {answer.said()}")
    deployment.has.add("token")
    return f"taken; {_money(answer.document())}"


def executed(deployment: Deployment) -> str:
    """Asked for once, under a key, and followed over SSE from its first moment on."""
    order, key = order_for(deployment), f"verify-{uuid.uuid4()}"
    begun_s = time.monotonic()
    answer = submit(deployment, order.body, key=key)
    # The stream is asked for when this was answered, and is as far away.
    late_s = 2 * (time.monotonic() - begun_s)
    run_id = answer.document().get("runId")
    if answer.status not in (200, 202) or not run_id:
        raise Failed(f"{order.name} was not accepted: {_told(answer)}")
    deadline_s = min(time.monotonic() + deployment.wait_s, deployment.deadline_s)
    path = f"/api/runs/{run_id}/events"
    reader = Reader(deployment.site, path, headers=deployment.credential(), deadline_s=deadline_s)
    reader.start()
    document = _ended(deployment, str(run_id), deadline_s=deadline_s)
    reader.join(STREAM_ENDS_WITHIN_S)
    if document["status"] != "succeeded":
        raise Failed(f"{order.name} {document['status']}: {document.get('code')}, {document.get('error')}")
    deployment.run = Run(str(run_id), order.body, key, reader.reading, document, late_s)
    deployment.has.add("run")
    return f"{order.name} succeeded in {document.get('executionTime')} ms, run {run_id}"


def charged_once(deployment: Deployment, run: Run) -> str:
    """The same request again joins the run; its receipt has one settlement."""
    again = submit(deployment, run.body, key=run.key)
    if again.document().get("runId") != run.id:
        raise Failed(f"asked for again under the same key: {again.said()}, and not the same run")
    if again.headers.get("idempotency-replayed") != "true":
        raise Failed("asked for again under the same key, it does not say Idempotency-Replayed")
    answer = deployment.ask(f"/api/runs/{run.id}/receipt", is_known=True)
    receipt = answer.document()
    if answer.status != 200 or receipt.get("runId") != run.id:
        raise Failed(f"it has no receipt: {answer.said()}")
    settled = [entry for entry in receipt.get("entries", []) if entry.get("kind") == "settle"]
    charged = sum(entry.get("credits", 0) for entry in settled)
    if len(settled) > 1 or charged != receipt.get("charged"):
        raise Failed(f"the receipt has {len(settled)} settlements over {charged} credits")
    account = deployment.ask("/api/credits", is_known=True).document()
    return f"asked for again it is the same run; {charged} charged once; {_money(account)}"


def submit(deployment: Deployment, body: Document, *, key: str) -> Answer:
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": key,
        "Prefer": "respond-async",
    }
    sent = json.dumps(body).encode()
    return deployment.ask(EXECUTE, method="POST", headers=headers, body=sent, is_known=True)


def _ended(deployment: Deployment, run_id: str, *, deadline_s: float) -> Document:
    """
    Raises:
        Failed: it has not ended in time, and was cancelled.
    """
    pause_s = PAUSE_S
    while True:
        answer = deployment.ask(f"/api/runs/{run_id}", is_known=True)
        document = answer.document()
        if document.get("status") in ENDED:
            return document
        if answer.status != 200:
            raise Failed(f"run {run_id} was accepted, and then: {answer.said()}")
        if time.monotonic() > deadline_s:
            break
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    deployment.ask(f"/api/runs/{run_id}/cancel", method="POST", is_known=True)
    why = (
        "no worker takes it; is there one with ROLE worker or all?" if document["status"] == "queued" else ""
    )
    told = f"still {document['status']} after {deployment.wait_s:.0f} s, and cancelled now"
    raise Failed(f"{told}; {why}" if why else told)


def _told(answer: Answer) -> str:
    document = answer.document()
    fields = [f"{each.get('field')} {each.get('message')}" for each in document.get("errors", [])]
    return ", ".join([answer.said(), *([str(document["detail"])] if "detail" in document else []), *fields])


def _money(account: Document) -> str:
    return f"{account.get('available')} credits available, {account.get('held')} held"
