"""How long a person waits on the outlining page, measured in a real browser."""
