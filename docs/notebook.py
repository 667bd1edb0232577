"""Make docs/python.ipynb out of docs/python.md: python docs/notebook.py. A test holds them together."""

import json
import re
from pathlib import Path

HERE = Path(__file__).parent


def notebook(markdown: str) -> str:
    """Text becomes text, ```python blocks become cells, without outputs."""
    cells = []
    for i, part in enumerate(re.split(r"^```python\n(.*?)^```$", markdown, flags=re.M | re.S)):
        text = part.strip("\n")
        if text:
            code = {"execution_count": None, "outputs": []} if i % 2 else {}
            kind = "code" if i % 2 else "markdown"
            cells.append({"cell_type": kind, "id": f"cell-{i}", "metadata": {}, **code, "source": text})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    (HERE / "python.ipynb").write_text(notebook((HERE / "python.md").read_text()))
