"""The zone of times that name none, where nobody has said another: that of this machine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo


class SystemZone(tzinfo):
    """The zone this machine is set to: each time has the offset that was in force then, not that of today."""

    def utcoffset(self, when: datetime | None) -> timedelta | None:
        """How far local time was ahead of UTC at the local time `when`."""
        return None if when is None else self._known(when).utcoffset()

    def dst(self, when: datetime | None) -> timedelta | None:
        """Not known: the system tells the offset as a whole."""
        return None

    def tzname(self, when: datetime | None) -> str | None:
        """What the zone was called at the local time `when`."""
        return None if when is None else self._known(when).tzname()

    def _known(self, when: datetime) -> datetime:
        naive = when.replace(tzinfo=None)
        try:
            return naive.astimezone()
        except (ValueError, OverflowError, OSError):
            # Years that the system's own clock does not reach.
            return naive.replace(tzinfo=UTC)
