"""Waiting for a page under its own rules, which forbid the evaluation of text that `wait_for_function` polls with."""


def wait_until(page, expression, arg=None):
    """Until a JavaScript expression, or a function of `arg`, is true; fails after ten seconds."""
    for _ in range(400):
        if page.evaluate(expression, arg):
            return
        page.wait_for_timeout(25)
    raise AssertionError(f"never true: {expression}")
