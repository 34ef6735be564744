"""Asking Redis whether it answers, and which one it is."""

from __future__ import annotations

from commands.doctor.addresses import place_of
from commands.doctor.facts import Fault, ServiceFacts
from foundation.settings import Settings

__all__ = ["probe_redis"]

WITHIN_S = 3


async def probe_redis(settings: Settings) -> ServiceFacts | None:
    """None when it is not set."""
    if settings.redis_url is None:
        return None
    from redis.asyncio import from_url
    from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
    from redis.exceptions import TimeoutError as RedisTimeout

    place = place_of(settings.redis_url)
    client = from_url(
        settings.redis_url, socket_connect_timeout=WITHIN_S, socket_timeout=WITHIN_S, retry=None
    )
    try:
        await client.ping()
        about = await client.info("server")
        return ServiceFacts(place, str(about["redis_version"]))
    except (AuthenticationError, NoPermissionError):
        return ServiceFacts(place, fault=Fault.BAD_LOGIN)
    except (RedisTimeout, TimeoutError):
        return ServiceFacts(place, fault=Fault.TOO_SLOW)
    except RedisError as error:
        is_login = "auth" in str(error).lower()
        is_absent = isinstance(error.__cause__ or error.__context__, OSError)
        fault = Fault.BAD_LOGIN if is_login else Fault.NOBODY_THERE if is_absent else Fault.OTHER
        return ServiceFacts(place, fault=fault)
    except OSError:
        return ServiceFacts(place, fault=Fault.NOBODY_THERE)
    finally:
        await client.aclose()
