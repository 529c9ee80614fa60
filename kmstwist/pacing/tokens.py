"""A token bucket: a number of tokens at once, and a number per second after that."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class TokenBucket:
    """The tokens there were when it was last filled, at `filled` (seconds on the owner's clock)."""

    tokens: float
    filled: float

    def take(self, now: float, rate: float, burst: float, number: float = 1.0) -> bool:
        """Fill it at `rate` per second up to `burst`, and take tokens. Returns whether there were enough."""
        self.tokens = min(burst, self.tokens + (now - self.filled) * rate)
        self.filled = now
        if self.tokens < number:
            return False
        self.tokens -= number
        return True
