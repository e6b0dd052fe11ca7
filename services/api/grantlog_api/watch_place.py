"""What a node keeps of one of its watchers: how far it was told, and for how long it searches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from grantlog.errors import GrantlogError, LimitError, UnavailableError
from grantlog.serving.watch_message import WatchMessage

_LOG: Final = structlog.get_logger("grantlog.watch")


class GoneError(Exception):
    """The service does not answer, or not any more; `told` is what it said about it."""

    def __init__(self, because: str, told: GrantlogError | None = None) -> None:
        super().__init__(because)
        self.told = told


@dataclass(slots=True)
class Heard:
    """What a watcher has been told."""

    token: str
    """Watching again from it goes on behind it."""
    begun: bool = False
    """Something was told."""
    within: bool = False
    """The last message was a part of a revision: from the token, that one comes again whole."""

    def note(self, message: WatchMessage) -> None:
        """It is told."""
        token = message.snap_token
        self.within = message.has_changes and token == self.token
        self.token = token
        self.begun = True

    def says_nothing(self, message: WatchMessage) -> bool:
        """Whether a message tells what is known."""
        return not message.has_changes and message.snap_token == self.token

    def with_token(self, error: GrantlogError) -> GrantlogError:
        """An error that names the token to go on from, if it did not and something was told."""
        if not self.begun or "snap_token" in error.facts or not isinstance(error, _RESUMABLE):
            return error
        told = (
            f"{error.explanation}; all was told up to the snap token {self.token}, watch from there"
        )
        facts = {**error.facts, "snap_token": self.token}
        return type(error)(told, reason=error.reason, facts=facts)


_RESUMABLE: Final = (UnavailableError, LimitError)


class Search:
    """For how long a watcher has gone from one service to another, and none told it something."""

    def __init__(self, clock: Callable[[], float], patience_s_max: float) -> None:
        self._clock = clock
        self._patience_s_max = patience_s_max
        self._since: float | None = None
        self._answered_at: float | None = None
        self.resumed = False
        """The next message is the first of another service."""
        self.refusals = 0
        """Services in a row that had no room."""

    def answered(self) -> None:
        """A service let the watcher in. One that is about to end does that too."""
        self.resumed = False
        self.refusals = 0
        self._answered_at = self._clock()

    def over(self) -> None:
        """A service told something."""
        self._since, self._answered_at, self.refusals, self.resumed = None, None, 0, False

    def failed(self, gone: GoneError) -> None:
        """A service is gone."""
        now, answered_at = self._clock(), self._answered_at
        if answered_at is not None and now - answered_at >= self._patience_s_max:
            self._since = None  # it held for long, with nothing to tell
        self._answered_at = None
        self.refusals += isinstance(gone.told, LimitError)
        if self._since is None:
            self._since = now
            _LOG.info("a watcher looks for another service", because=str(gone))

    @property
    def late(self) -> bool:
        """Whether the watcher is to be told."""
        return self._since is not None and self._clock() - self._since >= self._patience_s_max
