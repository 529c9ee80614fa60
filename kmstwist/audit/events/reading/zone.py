"""The default zone of times without one: this machine's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo


class SystemZone(tzinfo):
    """The zone this machine is set to: each time has the offset that applied then, not today's."""

    def utcoffset(self, when: datetime | None) -> timedelta | None:
        """How far local time was ahead of UTC at the local time `when`."""
        return None if when is None else self._known(when).utcoffset()

    def dst(self, when: datetime | None) -> timedelta | None:
        """None: the system gives only the whole offset."""
        return None

    def tzname(self, when: datetime | None) -> str | None:
        """The zone's name at the local time `when`."""
        return None if when is None else self._known(when).tzname()

    def _known(self, when: datetime) -> datetime:
        naive = when.replace(tzinfo=None)
        try:
            return naive.astimezone()
        except (ValueError, OverflowError, OSError):
            # The system's own clock does not support such years.
            return naive.replace(tzinfo=UTC)
