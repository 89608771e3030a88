"""Print a notebook as text, sources only: what `git diff` shows once CONTRIBUTING.md's line is in the configuration."""
import json
import sys


def lines(nb):
    """Yield the text of a notebook: a line per cell that names it, then its source; a picture is only mentioned."""
    for cell in nb["cells"]:
        tags = " ".join(cell.get("metadata", {}).get("tags", []))
        yield f"# %% [{cell['cell_type']}] {tags}".rstrip()
        yield "".join(cell["source"])
        for output in cell.get("outputs", []):
            printed = output.get("text") or output.get("data", {}).get("text/plain", output.get("evalue", ""))
            yield from ("#> " + line for line in "".join(printed).splitlines())
        yield ""


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/notebook_text.py NOTEBOOK")
    try:
        with open(sys.argv[1], encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError as error:
        sys.exit(str(error))
    try:
        text = "\n".join(lines(json.loads(text))) + "\n"
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        pass  # a damaged notebook: git diff shows it as it is
    sys.stdout.buffer.write(text.encode())
