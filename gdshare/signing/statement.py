"""The in-toto statement inside a signed file (https://in-toto.io/Statement/v1)."""

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
