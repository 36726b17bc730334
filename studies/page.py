"""A study's page: its question, its answer, its picture and its tables."""

import re

from gdshare.report.page import Page, Picture, Section
from studies.report import Report

_HEAD = re.compile(r"^.*?(?=<svg)", re.DOTALL)


def study_page(name: str, about: str, report: Report) -> Page:
    """The page.

    Args:
        name: of the study.
        about: its module's docstring: first the question.
        report: what came out.
    """
    question, _, more = about.partition("\n\n")
    lead = None
    if report.picture:
        svg = _HEAD.sub("", report.picture)
        lead = Picture.drawn(svg, report.answer or question, "The figures are in the tables below.")
    return Page(
        question,
        report.answer or "Its tables are below.",
        lead,
        ("Research on the method, on the data and patients that the notes name.",),
        (
            Section("The study", (" ".join(more.replace("``", "").split()),)),
            Section("Notes and tables", commands=(report.text,)),
            Section(
                "Where this comes from",
                commands=(f"python -m studies {name} --archive studies/archive --only report",),
            ),
        ),
    )
