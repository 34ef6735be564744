"""How a reply is written: the pieces of a stream, or one document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.support.model.script import Body, Call, Reply

__all__ = ["completion", "pieces", "words_in"]

ARGUMENTS_PIECE = 7

# Any: JSON documents of the wire.
Document = dict[str, Any]
ABSURD: Document = {"prompt_tokens": 10**12, "completion_tokens": 10**12}
NEGATIVE: Document = {"prompt_tokens": -5, "completion_tokens": 3}


def pieces(reply: Reply, body: Body) -> list[bytes]:
    """The events of the stream, the last one being [DONE]."""
    events = [json.dumps(chunk).encode() for chunk in _chunks(reply, body)]
    return [b"data: " + event + b"\n\n" for event in [*events, b"[DONE]"]]


def completion(reply: Reply, body: Body) -> Document:
    """The answer to a request that wants no stream."""
    message: Document = {"role": "assistant", "content": _text(reply, body) or None}
    if calls := reply.get("tool_calls"):
        message["tool_calls"] = [_call(call, number) for number, call in enumerate(calls)]
    if refusal := reply.get("refusal"):
        message["refusal"] = refusal
    choice = {"index": 0, "message": message, "finish_reason": _finish(reply)}
    return {**_head(body, "chat.completion"), "choices": [choice], "usage": words_in(reply, body)}


def words_in(reply: Reply, body: Body) -> Document:
    """The usage that the scripted model charges: one token a word."""
    spent = sum(len(str(message.get("content", "")).split()) for message in body.get("messages", ()))
    said = [_text(reply, body), reply.get("reasoning", ""), reply.get("refusal", "")]
    said += [_arguments(call) for call in reply.get("tool_calls", ())]
    got = sum(len(each.split()) for each in said)
    return {"prompt_tokens": spent + 1, "completion_tokens": got, "total_tokens": spent + 1 + got}


def _chunks(reply: Reply, body: Body) -> Iterator[Document]:
    head = _head(body, "chat.completion.chunk")
    wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    usage_member = {"usage": None} if wants_usage else {}
    for delta in _deltas(reply, body):
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        yield {**head, "choices": [choice], **usage_member}
    last = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": _finish(reply)}
    yield {**head, "choices": [last], **usage_member}
    if wants_usage and (usage := _usage(reply, body)) is not None:
        yield {**head, "choices": [], "usage": usage}


def _deltas(reply: Reply, body: Body) -> Iterator[Document]:
    yield {"role": "assistant", "content": "", "refusal": None}
    for word in _words(reply.get("reasoning", ""), 1):
        yield {"reasoning_content": word}
    for words in _words(_text(reply, body), reply.get("chunk_tokens", 1)):
        yield {"content": words}
    for word in _words(reply.get("refusal", ""), 1):
        yield {"refusal": word}
    for number, call in enumerate(reply.get("tool_calls", ())):
        begun = _call(call, number)
        yield {"tool_calls": [{**begun, "function": {"name": call["name"], "arguments": ""}}]}
        arguments = _arguments(call)
        for start in range(0, len(arguments), ARGUMENTS_PIECE):
            piece = {"arguments": arguments[start : start + ARGUMENTS_PIECE]}
            yield {"tool_calls": [{"index": number, "function": piece}]}


def _call(call: Call, number: int) -> Document:
    function = {"name": call["name"], "arguments": _arguments(call)}
    return {"index": number, "id": call.get("id", f"call_{number}"), "type": "function", "function": function}


def _arguments(call: Call) -> str:
    arguments = call.get("arguments", {})
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _text(reply: Reply, body: Body) -> str:
    if names := reply.get("echo"):
        return json.dumps({name: body.get(name) for name in names})
    return reply.get("text", "")


def _words(text: str, n: int) -> Iterator[str]:
    """`text` in pieces of `n` words, each with the space before it."""
    words = text.split(" ")
    for start in range(0, len(words) if text else 0, n):
        yield (" " if start else "") + " ".join(words[start : start + n])


def _finish(reply: Reply) -> str:
    return reply.get("finish", "tool_calls" if reply.get("tool_calls") else "stop")


def _usage(reply: Reply, body: Body) -> Document | None:
    match reply.get("usage", "exact"):
        case dict() as told:
            return told
        case "missing":
            return None
        case "absurd":
            return ABSURD
        case "negative":
            return NEGATIVE
        case _:
            return words_in(reply, body)


def _head(body: Body, kind: str) -> Document:
    return {"id": "chatcmpl-scripted", "object": kind, "created": 1, "model": body.get("model", "")}
