"""The picture of the rivals: AUC against the bytes that a hospital sends."""

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10

from studies.rivals.report import Line

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 1000, 560, 60, 240, 20, 50  # px
LABEL = 220  # px, about the longest


def draw(lines: Sequence[Line]) -> str:
    """An SVG with a logarithmic axis of bytes; who sends nothing is a dashed line."""
    sent = [line.row.sends for line in lines if line.row.sends]
    first, last = floor(log10(min(sent))), ceil(log10(max(sent)))
    aucs = [line.figures.auc for line in lines]
    low, high = floor(min(aucs) * 20) / 20, ceil(max(aucs) * 20) / 20

    def x(count: int) -> float:
        return LEFT + (log10(count) - first) / max(last - first, 1) * (WIDTH - LEFT - RIGHT)

    def y(auc: float) -> float:
        return HEIGHT - BOTTOM - (auc - low) / max(high - low, 0.05) * (HEIGHT - TOP - BOTTOM)

    end = WIDTH - RIGHT
    parts = [_text(end, HEIGHT - 10, "bytes that a hospital sends", "end"), _text(4, 14, "AUC")]
    for power in range(first, last + 1):
        parts.append(_rule(x(10**power), TOP, x(10**power), HEIGHT - BOTTOM))
        parts.append(_text(x(10**power), HEIGHT - BOTTOM + 18, f"{10**power:,}", "middle"))
    for tick in range(round(low * 20), round(high * 20) + 1):
        parts.append(_rule(LEFT, y(tick / 20), end, y(tick / 20)))
        parts.append(_text(LEFT - 6, y(tick / 20) + 4, f"{tick / 20:.2f}", "end"))
    labels: list[tuple[float, float]] = []
    for line in sorted(lines, key=lambda line: -line.figures.auc):
        height, sends = y(line.figures.auc), line.row.sends
        at = x(sends) if sends else end
        if sends:
            parts.append(f'<circle cx="{at:.1f}" cy="{height:.1f}" r="4"/>')
        else:
            parts.append(_rule(LEFT, height, end, height, 'stroke="black" stroke-dasharray="6"'))
        while any(
            abs(at - other) < LABEL and abs(height - beside) < 12 for other, beside in labels
        ):
            height += 2  # below the label that it would cover
        labels.append((at, height))
        parts.append(_text(at + 7, height + 4, line.row.title))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
    return "\n".join([f'{head} font-family="sans-serif" font-size="11">', *parts, "</svg>", ""])


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float, style: str = 'stroke="#ddd"') -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {style}/>'
