"""What tabs of one browser complain of, and what they ask for."""

from dataclasses import dataclass, field

from playwright.sync_api import BrowserContext, Page


@dataclass
class Watched:
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @classmethod
    def over(cls, context: BrowserContext) -> "Watched":
        seen = cls()
        context.on("console", lambda line: seen.complaints.append(f"{line.type}: {line.text}"))
        context.on("weberror", lambda error: seen.complaints.append(str(error.error)))
        context.on("request", lambda request: seen.requests.append(request.url))
        return seen


CONTRASTS = """
() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (one) => {
    const own = parts(getComputedStyle(one).backgroundColor);
    return own[3] === 0 && one.parentElement ? ground(one.parentElement) : own;
  };
  const found = {};
  for (const one of document.querySelectorAll("body *")) {
    const text = [...one.childNodes].filter((node) => node.nodeType === 3)
      .map((node) => node.textContent.trim()).join("");
    if (!text || !one.checkVisibility() || one.matches(":disabled, :disabled *")) continue;
    const [bright, dark] = [light(parts(getComputedStyle(one).color)), light(ground(one))]
      .sort((a, b) => b - a);
    found[text] = (bright + 0.05) / (dark + 0.05);
  }
  return found;
}
"""
"""Text on the screen -> contrast with its ground, 1 to 21, as WCAG 2.2 defines it."""


def tab_stops(page: Page, most: int = 60) -> list[str]:
    """What the Tab key reaches, in its order, each by its name."""
    page.evaluate("document.activeElement.blur()")
    found: list[str] = []
    for _ in range(most):
        page.keyboard.press("Tab")
        name = page.evaluate(
            "(one => one.dataset.act || one.id || one.value || one.tagName)(document.activeElement)"
        )
        if name in found or name == "BODY":
            break
        found.append(name)
    return found
