"""Settings of the follower process, read from the environment by `__main__` alone."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, SecretStr, field_validator, model_validator

from grantlog.runtime.kafka_settings import KafkaSettings
from grantlog.store.postgres.followers import MAINTENANCE


class ProjectorSettings(KafkaSettings):
    """`GRANTLOG_*` variables; docs/operations.md has the table."""

    database_url: SecretStr
    replica_url: SecretStr | None = None
    """The one database that this projector folds into."""
    replica_name: str = Field("replica", min_length=1, max_length=64)
    """Under which the replica is registered in the primary; each needs one of its own."""
    history_window_s: float | None = Field(None, ge=0)
    """History older than this is collected; unset keeps history for ever."""
    beat_s: float = Field(1.0, gt=0, le=2.0)
    """Between beats, by which others see that it works."""
    upkeep_s: float = Field(10.0, gt=0)
    """Between passes of purging and collecting."""
    changes_per_slice_max: int = Field(10_000, ge=1)
    """Changes folded for one tenant before the next one's turn."""
    copy_revisions_min: int = Field(1_000, ge=1)
    """A tenant that the replica has nothing of is copied from the primary if it has so many
    revisions, folded from the log otherwise."""
    copy_rows_per_page_max: int = Field(20_000, ge=1)
    """Rows copied at once; a page is held in memory."""
    kafka_publish: bool = False
    """Whether this process may publish to Kafka; API nodes do by default."""
    drain_s_max: float = Field(5.0, ge=0)
    """How long the slice in hand may take once the service is told to stop."""

    @field_validator("replica_name")
    @classmethod
    def _not_ours(cls, name: str) -> str:
        if name == MAINTENANCE:
            raise ValueError(f"{MAINTENANCE!r} is taken: give the replica another name")
        return name

    @model_validator(mode="after")
    def _one_replica(self) -> ProjectorSettings:
        if len((self.replica_dsn or "").split()) > 1:
            raise ValueError(
                "GRANTLOG_REPLICA_URL names several addresses: a projector folds into one; run "
                "one for each, with a GRANTLOG_REPLICA_NAME of its own"
            )
        return self

    @property
    def replica_dsn(self) -> str | None:
        """The replica's address; None where the primary's own tables are read."""
        return (self.replica_url.get_secret_value() if self.replica_url else "") or None

    @property
    def history_window(self) -> timedelta | None:
        """How much history is kept, None for all."""
        return None if self.history_window_s is None else timedelta(seconds=self.history_window_s)
