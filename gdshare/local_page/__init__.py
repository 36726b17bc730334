"""What the pages on this machine have in common: the loopback, one browser, and an end.

``auth`` admits the one browser that was given the address, ``connections`` bounds what everybody
else may hold open, ``responses`` reads bodies and writes errors, ``assets`` holds a page's own
files, and ``serving`` runs a page until Ctrl-C, or until it has what it is for.
"""
