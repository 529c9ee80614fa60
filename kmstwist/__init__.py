"""kmstwist: the Linux front door for an organisation's Microsoft volume activation."""

__version__ = "0.1.0"
