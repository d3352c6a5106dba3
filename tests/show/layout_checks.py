"""Whether text of a page lies where a person can read it, measured in the browser."""

# Every piece of visible text with the boxes of its lines, as far as they are seen: text in a box that scrolls is cut
# off there. `outside` names an element that the text sticks out of.
TEXTS = """
() => {
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let number = 0; walker.nextNode(); number++) {
    const node = walker.currentNode, element = node.parentElement;
    if (!node.textContent.trim() || element.closest("script, style, noscript, .sr-only, .skip, defs")) continue;
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const line of range.getClientRects()) {
      const box = { left: line.left, right: line.right, top: line.top, bottom: line.bottom };
      let outside = null;
      for (let parent = element; parent !== document.documentElement; parent = parent.parentElement) {
        const style = getComputedStyle(parent), bounds = parent.getBoundingClientRect();
        if (["inline", "contents"].includes(style.display) || parent.ownerSVGElement) continue;
        if (style.overflowX !== "visible" || style.overflowY !== "visible") {
          box.left = Math.max(box.left, bounds.left);
          box.right = Math.min(box.right, bounds.right);
          box.top = Math.max(box.top, bounds.top);
          box.bottom = Math.min(box.bottom, bounds.bottom);
        } else if (box.left < bounds.left - 1.5 || box.right > bounds.right + 1.5) {
          outside ??= `${parent.tagName.toLowerCase()}.${parent.className}`;
        }
      }
      if (box.right - box.left > 1 && box.bottom - box.top > 1) {
        texts.push({ ...box, outside, number, text: node.textContent.trim().slice(0, 60) });
      }
    }
  }
  return texts;
}
"""
# The boxes of two lines may share so many pixels, because letters do not fill theirs.
SLACK = 3


def layout_faults(page):
    """Sentences about what is wrong: a page that scrolls sideways, text outside of its box, text on top of text."""
    page.evaluate("window.scrollTo(0, 0)")
    width, room = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    faults = [f"the page is {width} px wide, the window {room}"] if width > room else []
    texts = sorted(page.evaluate(TEXTS), key=lambda text: text["top"])
    assert texts, "the page shows no text at all"
    for i, one in enumerate(texts):
        if one["outside"]:
            faults.append(f"{one['text']!r} sticks out of {one['outside']}")
        if one["right"] > room + 1 or one["left"] < -1:
            faults.append(f"{one['text']!r} is beyond the window")
        for other in texts[i + 1 :]:
            if other["top"] >= one["bottom"] - SLACK:
                break
            across = min(one["right"], other["right"]) - max(one["left"], other["left"])
            if other["number"] != one["number"] and across > SLACK:
                faults.append(f"{one['text']!r} and {other['text']!r} overlap")
    return faults
