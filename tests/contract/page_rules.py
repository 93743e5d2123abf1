"""What a page owes to people who do not see it, or see it otherwise: rules that a script can check.

After WCAG 2.2 A and AA, as far as they can be seen from the document: names, labels, order, ids,
roles, contrast as it is drawn, size of what is pressed, width of a phone.
"""

from pathlib import Path

RULES = Path(__file__).with_suffix(".js").read_text("utf-8")
"""An expression for the page: a function that returns what is wrong, a line each."""
