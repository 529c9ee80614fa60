"""KMS message layouts, versions, status codes and the product catalogue. No I/O, no clock, no Twisted."""
