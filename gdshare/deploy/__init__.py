"""What both sides need to set a federation up: keys, requests, certificates, files, findings.

A hospital sends a ``NodeRequest``; the aggregator's authority signs a certificate for it. The files
of each side are templates of that side's package, filled in by ``fill``. What a check finds is a
``Finding``.
"""
