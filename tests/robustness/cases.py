"""All cases of the robustness suite, and what becomes of each: the table of docs/reliability.md."""

from robustness.files import FILES
from robustness.images import IMAGES

CASES = (*IMAGES, *FILES)
