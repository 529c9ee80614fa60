from twisted.application.service import ServiceMaker

kms = ServiceMaker(
    "kmstwist",
    "kmstwist.server.tap",
    "A KMS gateway in front of the site's own licensed hosts, or (with no --upstream) a lab to rehearse volume "
    "activation.",
    "kms",
)
