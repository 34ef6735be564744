"""What a provider's client keeps between calls."""

from __future__ import annotations

import httpx2
import openai

from heavy_agents.llm.budget import RetryBudget
from heavy_agents.llm.provider import Provider

ASKED = httpx2.Request("POST", "https://provider.example/v1/chat/completions")


async def test_cookies_of_a_provider_are_not_kept() -> None:
    async with httpx2.AsyncClient() as session:
        Provider(openai.AsyncOpenAI(api_key="k", http_client=session), session, RetryBudget())

        for number in range(100):
            headers = {"set-cookie": f"visit{number}=1; Path=/"}
            session.cookies.extract_cookies(httpx2.Response(200, headers=headers, request=ASKED))

        assert list(session.cookies.jar) == []
