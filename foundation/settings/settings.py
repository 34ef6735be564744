"""Every variable with its default and what it wants, and what follows from several of them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from foundation.settings.backends import BackendSettings, missing_for_backends
from foundation.settings.missing import missing
from foundation.settings.mistakes import SettingsError
from foundation.settings.observers import read_headers
from foundation.settings.shapes import SHAPES
from foundation.settings.variables import CreditsOwner, Environment, Mark, Names, Role, Secret, Url, variable

__all__ = ["Settings"]

EMBEDDED_ISSUER = "http://localhost/auth/v1"
LOVABLE_GATEWAY = "https://ai.gateway.lovable.dev/v1"


class Settings(BackendSettings):
    """Each field's description is what the variable wants, as told to whoever set it wrong."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True, case_sensitive=False
    )

    port: int = variable(8000, "a port number, 0 to 65535 (0 picks a free one)", "PORT", ge=0, le=65535)
    host: str = variable("", "an address to listen on; empty for all, IPv4 and IPv6", "HOST")
    role: Role = variable(
        Role.ALL, "web, worker or all: whether it answers callers, executes runs, or both", "ROLE"
    )
    environment: Environment = variable(
        Environment.DEVELOPMENT, "development or production", "ENVIRONMENT", "RAILWAY_ENVIRONMENT", "NODE_ENV"
    )
    railway_project_id: Mark = variable(
        None,
        "set by Railway, and by nobody else",
        "RAILWAY_PROJECT_ID",
        "RAILWAY_ENVIRONMENT_ID",
        "RAILWAY_SERVICE_ID",
    )
    railway_replica_id: Mark = variable(None, "set by Railway: which replica this is", "RAILWAY_REPLICA_ID")
    railway_git_commit_sha: Mark = variable(
        None, "set by Railway: the commit this was built from", "RAILWAY_GIT_COMMIT_SHA"
    )
    log_level: Literal["debug", "info", "warning", "error"] = variable(
        "info", "debug, info, warning or error", "LOG_LEVEL"
    )

    database_url: Url = variable(None, "a postgresql:// connection string", "DATABASE_URL", "SUPABASE_DB_URL")
    database_pool: int = variable(10, "a number of connections, 2 to 100", "DATABASE_POOL", ge=2, le=100)
    data_dir: Path = variable(Path(".switchyard"), "a folder this process may write to", "DATA_DIR")
    allow_embedded: bool = variable(
        False, "1 to run production on the embedded database, whose disk may be thrown away", "ALLOW_EMBEDDED"
    )

    redis_url: Url = variable(None, "a redis:// address; limits are then counted there", "REDIS_URL")
    nats_url: Url = variable(None, "a nats:// address", "NATS_URL")

    supabase_url: Url = variable(
        None, "the project's address, https://<ref>.supabase.co", "SUPABASE_URL", "NEXT_PUBLIC_SUPABASE_URL"
    )
    supabase_jwt_secret: Secret = variable(
        None,
        "the project's legacy HS256 secret, at least 32 characters",
        "SUPABASE_JWT_SECRET",
        "JWT_SECRET_KEY",
    )
    supabase_secret_key: Secret = variable(
        None, "the project's secret key, sb_secret_…", "SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_ROLE_KEY"
    )
    jwt_issuer: Url = variable(None, "the `iss` of accepted tokens", "JWT_ISSUER")
    allow_anonymous: bool = variable(False, "1 to accept Supabase anonymous users", "ALLOW_ANONYMOUS")
    allow_oauth_clients: bool = variable(
        False, "1 to accept tokens issued to third-party OAuth clients", "ALLOW_OAUTH_CLIENTS"
    )
    railway_backend_secret: Secret = variable(
        None, "a shared secret of at least 32 characters", "RAILWAY_BACKEND_SECRET"
    )

    allowed_origins: Names = variable(
        (), "origins with commas, https://app.example", "ALLOWED_ORIGINS", "CORS_ORIGINS"
    )
    requests_per_minute: int = variable(
        600,
        "HTTP requests one caller may make a minute, 1 to 100000",
        "REQUESTS_PER_MINUTE",
        ge=1,
        le=100_000,
    )
    sockets_per_user: int = variable(
        5, "WebSockets one user may hold open here, 1 to 1000", "SOCKETS_PER_USER", ge=1, le=1000
    )
    credits_owner: CreditsOwner = variable(CreditsOwner.BACKEND, "backend, caller or off", "CREDITS_OWNER")
    metrics_token: Secret = variable(None, "a token of at least 16 characters", "METRICS_TOKEN")

    openai_api_key: Secret = variable(None, "the model provider's key", "OPENAI_API_KEY")
    openai_base_url: Url = variable(None, "an OpenAI-compatible endpoint, https://host/v1", "OPENAI_BASE_URL")
    lovable_api_key: Secret = variable(None, "a key of the Lovable gateway", "LOVABLE_API_KEY")
    default_model: str = variable(
        "google/gemini-2.5-flash", "the model of agents that name none", "DEFAULT_MODEL", min_length=1
    )
    model_first_token_seconds: float = variable(
        300, "seconds until a model's first word, 1 to 3600", "MODEL_FIRST_TOKEN_SECONDS", ge=1, le=3600
    )
    model_silence_seconds: float = variable(
        120, "seconds a model may be silent, 1 to 3600", "MODEL_SILENCE_SECONDS", ge=1, le=3600
    )
    model_turn_seconds: float = variable(
        900, "seconds one answer of a model may take, 1 to 86400", "MODEL_TURN_SECONDS", ge=1, le=86_400
    )
    run_token_limit: int = variable(
        2_000_000, "tokens one run may use, 1000 to 10^9", "RUN_TOKEN_LIMIT", ge=1000, le=1_000_000_000
    )
    enable_web_scraping: bool = variable(True, "0 to offer no http_fetch tool", "ENABLE_WEB_SCRAPING")
    fetch_private_hosts: Names = variable(
        (), "private host:port pairs http_fetch may ask, with commas", "FETCH_PRIVATE_HOSTS"
    )
    mcp_servers: Names = variable(
        (), "origins of MCP servers agents may use, with commas; * for any public one", "MCP_SERVERS"
    )

    worker_slots: int = variable(32, "runs at once in this process, 1 to 1000", "WORKER_SLOTS", ge=1, le=1000)
    process_workers: int = variable(
        2, "processes for heavy computation, 1 to 64", "PROCESS_WORKERS", ge=1, le=64
    )
    process_memory_mb: int = variable(
        1024, "memory one such process may take in MB, 256 to 65536", "PROCESS_MEMORY_MB", ge=256, le=65_536
    )
    drain_seconds: int = variable(
        25, "seconds between SIGTERM and the end, 1 to 600", "DRAIN_SECONDS", ge=1, le=600
    )
    run_retention_days: int = variable(
        30, "days an ended run is kept, 1 to 3650", "RUN_RETENTION_DAYS", ge=1, le=3650
    )

    otel_exporter_otlp_endpoint: Url = variable(
        None, "an OTLP/HTTP collector, http://host:4318", "OTEL_EXPORTER_OTLP_ENDPOINT"
    )
    otel_exporter_otlp_traces_endpoint: Url = variable(
        None, "where it takes traces, if not at /v1/traces", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
    )
    otel_exporter_otlp_headers: Secret = variable(
        None,
        "name=value pairs with commas, values percent-encoded",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    )
    otel_exporter_otlp_protocol: Literal["http/protobuf"] = variable(
        "http/protobuf",
        "http/protobuf, the only one spoken",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    )
    otel_service_name: str = variable(
        "switchyard", "a name of 1 to 100 characters", "OTEL_SERVICE_NAME", min_length=1, max_length=100
    )
    otel_traces_sampler_arg: float = variable(
        1.0, "the part of traces that is kept, 0 to 1", "OTEL_TRACES_SAMPLER_ARG", ge=0, le=1
    )
    otel_bsp_schedule_delay: int = variable(
        5000,
        "milliseconds a span may wait for others, 100 to 60000",
        "OTEL_BSP_SCHEDULE_DELAY",
        ge=100,
        le=60_000,
    )
    sentry_dsn: Secret = variable(None, "a DSN, https://<key>@<host>/<number>", "SENTRY_DSN")

    @field_validator("environment", mode="before")
    @classmethod
    def _name_the_environment(cls, value: object) -> object:
        """Preview and staging environments get production's strictness: they hold real secrets too."""
        if not isinstance(value, str):
            return value
        name = value.strip().lower()
        return {"": "development", "test": "development", "staging": "production"}.get(name, name)

    @field_validator("log_level", "role", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).scheme not in {"postgresql", "postgres"}:
            raise ValueError
        return value

    @field_validator("redis_url", "nats_url")
    @classmethod
    def _is_server(cls, value: str | None, field: ValidationInfo) -> str | None:
        schemes = {"redis", "rediss"} if field.field_name == "redis_url" else {"nats", "tls"}
        if value is None:
            return None
        parts = urlsplit(value)
        # Reading the port raises when it is none: a raw "/" or "#" in a password ends up there.
        if parts.scheme not in schemes or not parts.hostname or parts.port == 0:
            raise ValueError
        return value

    @field_validator(
        "supabase_url", "openai_base_url", "otel_exporter_otlp_endpoint", "otel_exporter_otlp_traces_endpoint"
    )
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError
        return value.rstrip("/")

    @field_validator("supabase_jwt_secret", "railway_backend_secret", "metrics_token")
    @classmethod
    def _is_long(cls, value: SecretStr | None, field: ValidationInfo) -> SecretStr | None:
        least = 16 if field.field_name == "metrics_token" else 32
        if value is not None and len(value.get_secret_value()) < least:
            raise ValueError
        return value

    @field_validator(*SHAPES)
    @classmethod
    def _is_readable(cls, value: SecretStr | None, field: ValidationInfo) -> SecretStr | None:
        if value is not None and not SHAPES[field.field_name or ""](value.get_secret_value()):
            raise ValueError
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> Settings:
        # In development a run that would need them is refused, and says so.
        wanted = missing_for_backends(self) if self.is_production else []
        if mistakes := [*missing(self), *wanted]:
            raise SettingsError(mistakes)
        return self

    @property
    def is_production(self) -> bool:
        return self.environment is Environment.PRODUCTION

    @property
    def is_on_railway(self) -> bool:
        """Whether requests from outside pass Railway's proxy, which writes into X-Real-IP who asks."""
        return self.railway_project_id is not None

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must appear in no log line."""
        named = (getattr(self, name) for name in type(self).model_fields)
        whole = (each.get_secret_value() for each in named if isinstance(each, SecretStr))
        return (*whole, *self.otlp_headers.values())

    @property
    def data_api(self) -> tuple[str, SecretStr] | None:
        """Address and secret key of the project that is the database; None with another, or without a key."""
        if self.database_url is not None or self.supabase_url is None or self.supabase_secret_key is None:
            return None
        return self.supabase_url, self.supabase_secret_key

    @property
    def is_embedded(self) -> bool:
        """Whether the database is one of this process's own."""
        return self.database_url is None and self.data_api is None

    @property
    def traces_url(self) -> str | None:
        """Where spans are sent; None when nothing is traced."""
        if self.otel_exporter_otlp_traces_endpoint is not None:
            return self.otel_exporter_otlp_traces_endpoint
        base = self.otel_exporter_otlp_endpoint
        return base and f"{base}/v1/traces"

    @property
    def otlp_headers(self) -> dict[str, str]:
        """What is sent along with spans, names in lower case; the values are secrets."""
        secret = self.otel_exporter_otlp_headers
        return read_headers(secret.get_secret_value()) if secret is not None else {}

    @property
    def model_endpoint(self) -> tuple[str | None, SecretStr | None]:
        """Address (None: OpenAI's own) and key of the model provider."""
        uses_gateway = self.openai_api_key is None and self.lovable_api_key is not None
        address = self.openai_base_url or (LOVABLE_GATEWAY if uses_gateway else None)
        return address, self.lovable_api_key if uses_gateway else self.openai_api_key

    @property
    def issuer(self) -> str:
        """What `iss` must be."""
        return self.jwt_issuer or (f"{self.supabase_url}/auth/v1" if self.supabase_url else EMBEDDED_ISSUER)

    @property
    def jwks_url(self) -> str | None:
        """Where the project publishes its public keys; None without a project."""
        return None if self.supabase_url is None else f"{self.supabase_url}/auth/v1/.well-known/jwks.json"
