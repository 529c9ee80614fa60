"""A token bucket: so many at once, and so many a second after that."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class TokenBucket:
    """The tokens there were when it was last filled, at `filled` (seconds on the owner's clock)."""

    tokens: float
    filled: float

    def take(self, now: float, rate: float, burst: float) -> bool:
        """Fill it at `rate` a second up to `burst`, and take a token; whether there was one."""
        self.tokens = min(burst, self.tokens + (now - self.filled) * rate)
        self.filled = now
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True
