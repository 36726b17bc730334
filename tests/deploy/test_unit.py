"""What a unit starts, as the doctors and the compose files read it."""

import json

from gdshare.deploy.unit import in_container, unit_words

UNIT = """[Service]
User=gdshare
Environment=PATH=/opt/bin:/usr/bin
Environment=A=1 "B=two words"
#Environment=C=3
ExecStartPre=+/usr/sbin/nft -f rules
ExecStart=/opt/bin/serve --port 8000 \\
    --name 'a b'
Restart=always
"""
COMMAND = ["/opt/bin/serve", "--port", "8000", "--name", "a b"]
ENVIRONMENT = ["PATH=/opt/bin:/usr/bin", "A=1", "B=two words"]


def test_command_goes_over_lines_and_is_not_what_runs_before_it():
    assert unit_words(UNIT) == COMMAND


def test_every_line_of_a_key_counts():
    assert unit_words(UNIT, "Environment") == ENVIRONMENT
    assert unit_words(UNIT, "User") == ["gdshare"]
    assert unit_words(UNIT, "Group") == []


def test_container_starts_what_the_unit_starts():
    read = {name: json.loads(value) for name, value in in_container(UNIT).items()}
    assert read == {"command": COMMAND, "environment": ENVIRONMENT}
