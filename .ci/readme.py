"""Writes README.md from nbs/index.ipynb: its prose, its code in fences, its links as seen from the project's root.

    python .ci/readme.py            write it
    python .ci/readme.py --check    only say, by exit status 1, that it is out of date
"""
import json
import posixpath
import re
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
index = root / "nbs" / "index.ipynb"
# the target of [text](target), ![alt](target), src="target" and href="target", unless it is an address or a place in the page
link = re.compile(r'(\]\(|(?:src|href)=")(?!\w+:|#)([^)"#\s]+)')


def from_root(match):
    "The same link, seen from the project's root instead of nbs/."
    target = posixpath.normpath(posixpath.join("nbs", match[2]))
    if not (root / target).exists(): sys.exit(f"{index}: {match[2]} is linked, but there is no {target}")
    return match[1] + target


def render(cell):
    "One cell as Markdown; hidden cells and cells that hold nothing but directives give nothing."
    source = "".join(cell["source"])
    if cell["cell_type"] != "code": return link.sub(from_root, source)
    code = re.sub(r"^#\|.*\n?", "", source, flags=re.M).strip()
    return f"```python\n{code}\n```" if code and "#| hide" not in source else ""


def main():
    cells = json.loads(index.read_text(encoding="utf-8"))["cells"]
    text = "<!-- Made from nbs/index.ipynb by .ci/readme.py: edit the notebook. -->\n\n"
    text += "\n\n".join(filter(None, map(render, cells))) + "\n"
    readme = root / "README.md"
    if "--check" not in sys.argv: readme.write_text(text, encoding="utf-8")
    elif not readme.exists() or readme.read_text(encoding="utf-8") != text:
        sys.exit("README.md is not what nbs/index.ipynb says; write it anew with: python .ci/readme.py")


main()
