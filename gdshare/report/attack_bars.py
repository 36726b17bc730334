"""What each attack found, as a bar from guessing to finding everyone, with the policy's limit."""

from html import escape

from gdshare.audit import ATTACKS
from gdshare.bundle.attacks import Attack
from gdshare.release import Policy
from gdshare.release.bounds import STANDARD_BOUNDS
from gdshare.release.rules import bound_on

WIDTH, HEIGHT, BAR = 600, 34, 14
"""Of the drawing, in its own units."""
RED, GREEN, GRAY, BLACK = "#b00020", "#0b6b2b", "#ddd", "#111"
ENDS = {
    **{
        f"membership-{name}/1": ("guessing", "finds everyone")
        for name in ("bundle", "lira", "loss", "shadows")
    },
    "identifiers/1": ("none", "every one"),
    "nearest-features/1": ("no nearer than to other patients", "is a patient's patch"),
    "nearest-patch/1": ("no nearer than to other patients", "is a patient's patch"),
    "nearest-ratio/1": ("no nearer than to other patients", "is a patient's patch"),
    "reidentification-lineup/1": ("guessing", "picks everyone"),
    **{
        f"reconstruction-{name}/1": ("guessing", "finds every mark")
        for name in ("images", "networks", "trajectory")
    },
}
"""Attack -> what its figure means where nothing is known, and where it is 1."""
QUESTIONS = {
    "identifiers/1": "does it hold a name, number or path that the site knows?",
    "membership-bundle/1": "does the bundle itself tell who was in, with shadows' help?",
    "membership-lira/1": "do networks trained from it, with shadows' help?",
    "membership-loss/1": "can a training patient be told from others?",
    "membership-shadows/1": "do distillations like it tell who was in?",
    "nearest-features/1": "are the images nearer to training patients, by features?",
    "nearest-patch/1": "is an image somebody's patch?",
    "nearest-ratio/1": "are the images nearer to training patients, by pixels?",
    "reidentification-lineup/1": "is a training patient picked from a line-up, by another film?",
    "reconstruction-images/1": "do images like these show a mark that one patient had?",
    "reconstruction-networks/1": "do networks trained from images like these know such a mark?",
    "reconstruction-trajectory/1": "does what training did to the weights give such a mark back?",
}
STYLE = """\
.attack { max-width: 42rem; margin: 0 0 1.25rem; }
.attack svg { display: block; width: 100%; height: auto; }
.attack p { margin: .25rem 0; }
.ends { display: flex; justify-content: space-between; gap: 1rem; font-size: .85rem; }
"""


def attack_bars(attacks: tuple[Attack, ...], policy: Policy) -> str:
    """Draw a bar for each attack that counts, and name the others: nobody knows what they find."""
    tried = {attack.name for attack in attacks}
    missing = "".join(
        f'<p><span class="no">not tried</span> {escape(name)}, which the policy asks for, or its '
        "control did not fire; see gdshare audit.</p>"
        for name in sorted(set(policy.attacks) - tried)
    )
    others = ", ".join(sorted({*ATTACKS} - {*policy.attacks} - tried))
    rest = f"<p>Not tried, or the control did not fire: {others}.</p>" if others else ""
    bars = "".join(_bar(own, bound_on(own.name, policy, True)) for own in attacks)
    return bars + missing + rest


def place(value: float, attack: Attack) -> float:
    """Where a figure lies between guessing, 0, and finding everyone, 1."""
    if attack.unrelated >= 1.0:
        return float(value >= 1.0)
    return min(max((value - attack.unrelated) / (1.0 - attack.unrelated), 0.0), 1.0)


def _bar(attack: Attack, limit: float | None) -> str:
    kept = limit is None or attack.high <= limit
    colour = GREEN if kept else RED
    allowed = "the policy sets no limit" if limit is None else f"the policy allows {limit:.3f}"
    text = f"{attack.figure:.3f}, 95% interval {attack.low:.3f} to {attack.high:.3f}; {allowed}"
    badge = "" if kept else ' <span class="no">above the limit</span>'
    low_end, high_end = ENDS.get(attack.name, ("nothing known", "finds everyone"))
    question = QUESTIONS.get(attack.name, "")
    return (
        f'<div class="attack" data-attack="{escape(attack.name)}">'
        f"<p><strong>{escape(attack.name)}</strong> {escape(question)}</p>"
        f'<svg role="img" viewBox="0 0 {WIDTH} {HEIGHT}" aria-label="{escape(text)}">'
        f"{_drawing(attack, limit, colour)}</svg>"
        f'<div class="ends"><span>{low_end} ({attack.unrelated:.3f})</span>'
        f"<span>{high_end} (1.000)</span></div>"
        f"<p>{escape(text)}{badge}</p>{_compared(attack.name)}</div>"
    )


def _compared(name: str) -> str:
    """What the bound of a first policy was chosen from, to compare a figure with."""
    standard = STANDARD_BOUNDS.get(name)
    if standard is None or not standard.highest:
        return ""
    return f"<p>For comparison, upper ends on public chest films: {escape(standard.behind)}.</p>"


def _drawing(attack: Attack, limit: float | None, colour: str) -> str:
    """The figure as a bar, its interval as a line over it, the limit as a mark across."""
    top, middle = (HEIGHT - BAR) / 2, HEIGHT / 2
    figure, low, high = (
        WIDTH * place(value, attack) for value in (attack.figure, attack.low, attack.high)
    )
    parts = [
        f'<rect x="0" y="{top:g}" width="{WIDTH}" height="{BAR}" fill="{GRAY}"/>',
        f'<rect class="figure" x="0" y="{top:g}" width="{figure:.1f}" height="{BAR}" '
        f'fill="{colour}"/>',
        f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{middle:g}" y2="{middle:g}" stroke="{BLACK}" '
        'stroke-width="2"/>',
    ]
    if limit is not None:
        at = min(max(WIDTH * place(limit, attack), 1.5), WIDTH - 1.5)
        parts.append(
            f'<line class="limit" x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{HEIGHT}" '
            f'stroke="{BLACK}" stroke-width="3"/>'
        )
    return "".join(parts)
