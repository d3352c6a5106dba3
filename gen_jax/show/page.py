"""One page: a template of this directory with everything it needs inside, so that it opens from disk."""

import functools
import importlib.metadata
import importlib.resources
import math
from typing import Any

import jinja2
from etils import epath
from markupsafe import Markup


def asset(name: str) -> Markup:
    """A style sheet or script of this directory, to be put inside `<style>` or `<script>`."""
    text = importlib.resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    if "</" in text:
        raise ValueError(f"{name} holds '</', which would end the element it is put in")
    return Markup(text)


def number(value: int | float | None) -> str:
    """A measured number as a person reads it: some four significant digits, a true minus sign; — for none."""
    if value is None or not math.isfinite(value):
        return "—"
    size = abs(value)
    if size >= 1000:
        text = f"{value:,.0f}"
    elif size >= 0.001 or size == 0:
        text = f"{value:.{2 if size >= 10 else 3 if size >= 1 else 4}f}"
    else:
        text = f"{value:.2e}"
    return text.replace("-", "−")


def count(value: int) -> str:
    """A whole number with its thousands apart: 60,000."""
    return f"{value:,}"


@functools.cache
def environment() -> jinja2.Environment:
    """The templates of this directory. What a template lacks is an error, and all text is escaped."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("gen_jax", "show"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # JSON knows no NaN: a browser would refuse the whole page's data.
    made.policies["json.dumps_kwargs"] = {"allow_nan": False}
    made.filters |= {"number": number, "count": count}
    made.globals |= {"asset": asset, "version": importlib.metadata.version("gen_jax")}
    return made


def render(template: str, **context: Any) -> str:
    """A page as HTML.

    Args:
      template: file name of one that extends base.html: "report.html".
      **context: what it shows.

    Raises:
      jinja2.UndefinedError: the template wants something that is not in the context.
      ValueError: data for a script hold NaN or an infinity.
    """
    return environment().get_template(template).render(**context)


def write_page(path: epath.PathLike, html: str) -> epath.Path:
    """Writes a page at once: a kill leaves the old one or the new one."""
    path = epath.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(html)
    temporary.replace(path)
    return path
