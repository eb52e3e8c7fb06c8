"""All animals of the zoo, and what becomes of each: the table of docs/reliability.md."""

from zoo.files import FILES
from zoo.images import IMAGES

CASES = (*IMAGES, *FILES)
