"""Hook of mkdocs: links out of docs lead to the repository; where none is named they are text."""

import os
import re
from typing import Any

LINK = re.compile(r"\[([^\]]*)\]\(((?:\.\./)+[^)\s]+)\)")


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Rewrite what leads out of the folder of the docs; mkdocs knows the rest."""

    def replaced(match: re.Match[str]) -> str:
        text, link = match.groups()
        path = os.path.normpath(os.path.join("docs", os.path.dirname(page.file.src_path), link))
        if path.startswith("docs/"):
            return match[0]
        if config.repo_url:
            return f"[{text}]({config.repo_url.rstrip('/')}/blob/HEAD/{path})"
        return text if text.startswith("`") else f"`{path.partition('#')[0]}`"

    return LINK.sub(replaced, markdown)
