"""The files that the page about Windows' events assumes: `python -m tests.docs.exports` writes them here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.audit.exports import Sample, as_evtx, as_xml, request
from tests.audit.test_products import OSPP, SLMGR, printed

BEGIN = datetime.now(UTC).replace(microsecond=0) - timedelta(days=20)


def main() -> None:
    """Write them."""
    hour = timedelta(hours=1)
    Path("kms.evtx").write_bytes(as_evtx([request(at, BEGIN + at * hour, f"pc{at}.example.com") for at in range(1, 9)]))
    one, other = (request(at, BEGIN + at * hour, f"srv{at}.example.com", computer="KMS1.example.com") for at in (1, 2))
    Path("kms1.evtx").write_bytes(as_evtx([one, other]))
    Path("kms1.xml").write_bytes(as_xml([one, Sample(3, other.when, ("?", *other.data[1:]))]))
    Path("products.txt").write_text(printed(SLMGR))
    Path("office.txt").write_text(printed(OSPP))


if __name__ == "__main__":
    main()
