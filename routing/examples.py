"""The examples of the API's description, as one story: a user, an agent, a run, its answer and its cost."""

from __future__ import annotations

from typing import Any, Final

__all__ = [
    "ACCEPTED",
    "AGENTS",
    "AGENT_HEALTH",
    "AGENT_ID",
    "AGENT_METRICS",
    "AGENT_UNWELL",
    "ALIVE",
    "ANSWER",
    "CANCELLED",
    "CONVERSATION",
    "CONVERSATION_HEAD",
    "CONVERSATION_ID",
    "CREDITS",
    "EVENTS",
    "FILE_NAME",
    "HEALTH",
    "KEYS",
    "KEY_ID",
    "KEY_SET",
    "LIGHT_AGENT_ID",
    "LIGHT_ANSWER",
    "LIGHT_STREAM",
    "MADE_KEY",
    "METRICS",
    "NOT_READY",
    "READY",
    "RECEIPT",
    "RUN",
    "RUNS",
    "RUN_ID",
    "STREAM",
    "SUMMARY",
    "UNWELL",
]

# Any: JSON documents; the description holds each against its schema.
Document = dict[str, Any]

RUN_ID: Final = "019ab3c2-7d10-7c35-9f0e-52b1d9a8e4f6"
AGENT_ID: Final = "00000000-0000-4000-a000-000000000002"
LIGHT_AGENT_ID: Final = "00000000-0000-4000-a000-000000000003"
CONVERSATION_ID: Final = "4b0c2f6e-9a51-4d3a-8e55-6c1f0c7a9d21"
KEY_ID: Final = "9d1f5b34-2a77-4c6e-b1f8-3e5a70c2d916"
FILE_NAME: Final = "forecast.csv"

_AT: Final = "2026-11-27T09:30:00.000Z"
_LATER: Final = "2026-11-27T09:30:01.250Z"
_EVENTS_URL: Final = f"/api/runs/{RUN_ID}/events"
_USAGE: Final = {"computeJobs": 1, "computeMs": 1180}
_ARTIFACT: Final = {
    "name": FILE_NAME,
    "mediaType": "text/csv",
    "size": 412,
    "url": f"/api/runs/{RUN_ID}/artifacts/{FILE_NAME}",
}
_TEXT: Final = "The next week stays near 15 a day."
_OUTPUT: Final = {"method": "prophet", "horizon": 7}
_RUN_OF_PAGE: Final[Document] = {
    "runId": RUN_ID,
    "agentId": AGENT_ID,
    "agentName": "Forecaster",
    "kind": "forecast",
    "status": "succeeded",
    "code": None,
    "error": None,
    "usage": _USAGE,
    "holdCredits": 1,
    "creditsUsed": 1,
    "lastSeq": 3,
    "attempts": 1,
    "cancelRequested": False,
    "conversationId": None,
    "metadata": {},
    "createdAt": _AT,
    "startedAt": _AT,
    "endedAt": _LATER,
    "executionTime": 1250,
    "eventsUrl": _EVENTS_URL,
}

LIGHT_ANSWER: Final[Document] = {
    "response": "Monday to Friday, nine to five.",
    "executionTime": 840,
    "creditsUsed": 1,
    "usage": {"modelCalls": 1, "inputTokens": 64, "outputTokens": 9},
    "agentId": LIGHT_AGENT_ID,
    "status": "succeeded",
}
LIGHT_STREAM: Final = (
    f'id: 1\ndata: {{"type":"started","seq":1,"agentId":"{LIGHT_AGENT_ID}"}}\n\n'
    'id: 2\ndata: {"type":"chunk","seq":2,"content":"Monday to Friday, nine to five.","step":"turn-1"}\n\n'
    'id: 3\ndata: {"type":"done","seq":3,"response":"Monday to Friday, nine to five.","executionTime":840,'
    '"creditsUsed":1,"usage":{"modelCalls":1,"inputTokens":64,"outputTokens":9}}\n\n'
)
ANSWER: Final[Document] = {
    "response": _TEXT,
    "executionTime": 1250,
    "creditsUsed": 1,
    "runId": RUN_ID,
    "agentId": AGENT_ID,
    "status": "succeeded",
    "output": _OUTPUT,
    "usage": _USAGE,
    "artifacts": [_ARTIFACT],
}
ACCEPTED: Final[Document] = {
    "runId": RUN_ID,
    "status": "queued",
    "eventsUrl": _EVENTS_URL,
    "wsUrl": "/ws",
}
RUN: Final[Document] = {**_RUN_OF_PAGE, "response": _TEXT, "output": _OUTPUT, "artifacts": [_ARTIFACT]}
CANCELLED: Final[Document] = {
    **RUN,
    "status": "cancelled",
    "code": "cancelled",
    "error": "cancelled by the user",
    "cancelRequested": True,
    "response": None,
    "output": None,
    "artifacts": [],
}
RUNS: Final[Document] = {"runs": [_RUN_OF_PAGE], "next": None}
RECEIPT: Final[Document] = {
    "runId": RUN_ID,
    "status": "succeeded",
    "creditsOwner": "backend",
    "price": {"flat": 1},
    "held": 1,
    "charged": 1,
    "attempts": 1,
    "usage": _USAGE,
    "entries": [
        {"kind": "hold", "key": "hold", "credits": 0, "held": 1, "at": _AT},
        {"kind": "charge", "key": "settle", "credits": 1, "held": -1, "at": _LATER},
    ],
    "steps": [{"name": "forecast", "attempt": 1, "usage": _USAGE, "durationMs": 1180, "finishedAt": _LATER}],
}

_DONE: Final[Document] = {"response": _TEXT, "executionTime": 1250, "creditsUsed": 1, "usage": _USAGE}
EVENTS: Final[Document] = {
    "runId": RUN_ID,
    "events": [
        {"type": "started", "runId": RUN_ID, "seq": 1, "agentId": AGENT_ID},
        {"type": "progress", "runId": RUN_ID, "seq": 2, "fraction": 0.5, "note": "fitting"},
        {"type": "done", "runId": RUN_ID, "seq": 3, **_DONE},
    ],
    "latest": 3,
    "isTerminal": True,
}
STREAM: Final = (
    f'id: 1\ndata: {{"type":"started","runId":"{RUN_ID}","seq":1,"agentId":"{AGENT_ID}"}}\n\n'
    f'id: 2\ndata: {{"type":"progress","runId":"{RUN_ID}","seq":2,"fraction":0.5,"note":"fitting"}}\n\n'
    f'id: 3\ndata: {{"type":"done","runId":"{RUN_ID}","seq":3,"response":"{_TEXT}","executionTime":1250,'
    '"creditsUsed":1,"usage":{"computeJobs":1}}\n\n'
)

CONVERSATION_HEAD: Final[Document] = {
    "conversationId": CONVERSATION_ID,
    "agentId": AGENT_ID,
    "title": "A week in Lisbon",
    "createdAt": _AT,
}
CONVERSATION: Final[Document] = {
    **CONVERSATION_HEAD,
    "updatedAt": _LATER,
    "messages": [
        {
            "id": "6f3a1c58-0b7d-4a92-93de-1c5e8f20b7a4",
            "role": "user",
            "content": "Forecast the next week.",
            "runId": RUN_ID,
            "createdAt": _AT,
        }
    ],
}

CREDITS: Final[Document] = {"balance": 50, "held": 1, "available": 49, "plan": "free", "usedThisMonth": 12}
AGENTS: Final[Document] = {
    "agents": [
        {
            "id": AGENT_ID,
            "name": "Forecaster",
            "description": "Forecasts a daily or monthly series with Prophet.",
            "kind": "forecast",
            "isHeavy": True,
            "isPublished": True,
            "isOwn": False,
            "price": {"flat": 1},
        }
    ]
}
AGENT_METRICS: Final[Document] = {
    "totalCredits": 1,
    "totalCalls": 1,
    "recentUsage": [
        {
            "creditsUsed": 1,
            "operationType": "agent_execution",
            "runId": RUN_ID,
            "status": "succeeded",
            "createdAt": _LATER,
        }
    ],
}

_KEY_HEAD: Final[Document] = {
    "id": KEY_ID,
    "name": "Nightly report",
    "prefix": "sy_Zk3hQ9vT2",
    "createdAt": _AT,
}
MADE_KEY: Final[Document] = {**_KEY_HEAD, "key": "sy_Zk3hQ9vT2-an-example-and-nobodys-key"}
KEYS: Final[Document] = {"keys": [{**_KEY_HEAD, "lastUsedAt": None, "isActive": True}]}

_OK: Final = {"database": "ok"}
_LOST: Final = {"database": "the database did not answer; try again"}
ALIVE: Final[Document] = {"status": "alive"}
READY: Final[Document] = {"status": "ready", "checks": _OK}
NOT_READY: Final[Document] = {"status": "not_ready", "checks": _LOST}
HEALTH: Final[Document] = {
    "status": "healthy",
    "timestamp": _AT,
    "service": "switchyard",
    "version": "0.1.0",
    "uptime": 3600.5,
    "checks": _OK,
}
UNWELL: Final[Document] = {**HEALTH, "status": "unhealthy", "checks": _LOST}
AGENT_HEALTH: Final[Document] = {"status": "healthy", "capacity": {"active": 1, "slots": 32, "free": 31}}
AGENT_UNWELL: Final[Document] = {**AGENT_HEALTH, "status": "unhealthy"}

METRICS: Final = (
    "# HELP heavy_agent_runs_total Runs that ended.\n"
    "# TYPE heavy_agent_runs_total counter\n"
    'heavy_agent_runs_total{kind="forecast",status="succeeded"} 1.0\n'
)
SUMMARY: Final[Document] = {
    "requests": {
        "total": 2,
        "errors": 0,
        "errorRate": 0.0,
        "byRoute": {"/api/agent/execute": {"total": 2, "errors": 0}},
    },
    "latencyMs": {"p50": 4.2, "p95": 9.8, "p99": 12.5},
    "activeRuns": 1,
    "runs": {"succeeded": 1},
}

# That of RFC 7517, appendix A.1.
KEY_SET: Final = {
    "keys": [
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
            "alg": "ES256",
            "use": "sig",
            "kid": "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s",
        }
    ]
}
