"""What a study reports."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Report:
    text: str  # for people: notes and tables
    figures: Mapping[str, object]  # for JSON
    answer: str = ""  # the study's question answered in a sentence, where one will do
    picture: str = ""  # SVG
