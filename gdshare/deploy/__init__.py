"""What both sides need to set a federation up: places, keys, requests, certificates, findings.

A hospital sends a ``NodeRequest``; the aggregator's authority signs a certificate for it. Each side
has a ``Place``, whose values fill in the templates of that side's package, and a doctor, whose
checks end in a ``Finding`` each.
"""
