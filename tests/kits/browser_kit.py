"""Errors and requests of a browser's tabs."""

from dataclasses import dataclass, field

from playwright.sync_api import BrowserContext, Page


@dataclass
class Activity:
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, context: BrowserContext) -> "Activity":
        activity = cls()
        context.on("console", lambda line: activity.messages.append(f"{line.type}: {line.text}"))
        context.on("weberror", lambda error: activity.messages.append(str(error.error)))
        context.on("request", lambda request: activity.requests.append(request.url))
        return activity


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
  const background = (element) => {
    const own = parts(getComputedStyle(element).backgroundColor);
    const inherit = own[3] === 0 && element.parentElement;
    return inherit ? background(element.parentElement) : own;
  };
  const contrasts = {};
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].filter((node) => node.nodeType === 3)
      .map((node) => node.textContent.trim()).join("");
    if (!text || !element.checkVisibility() || element.matches(":disabled, :disabled *")) continue;
    const [bright, dark] = [parts(getComputedStyle(element).color), background(element)]
      .map(light)
      .sort((a, b) => b - a);
    contrasts[text] = (bright + 0.05) / (dark + 0.05);
  }
  return contrasts;
}
"""
"""Visible text -> contrast with its background, 1 to 21, as defined by WCAG 2.2."""


def tab_stops(page: Page, limit: int = 60) -> list[str]:
    """Names of the elements that the Tab key reaches, in order."""
    page.evaluate("document.activeElement.blur()")
    names: list[str] = []
    for _ in range(limit):
        page.keyboard.press("Tab")
        name = page.evaluate(
            "(e => e.dataset.action || e.id || e.value || e.tagName)(document.activeElement)"
        )
        if name == "BODY" and not names:
            continue  # a page that has just been drawn may miss a key
        if name in names or name == "BODY":
            break
        names.append(name)
    return names
