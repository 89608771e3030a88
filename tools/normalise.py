"""Make executed notebooks byte-stable:  python tools/normalise.py [--check] chapters/*.ipynb

What happens to a notebook
- keys sorted, indent 1, one trailing newline; ids are made from the cells' content; empty cells go.
- metadata: only what the book reads stays (tags, mystnb, jupyter, cellView, numbers); versions, times, widgets go.
- text: stderr and progress bars go, memory addresses become 0x0, lines overwritten by a carriage return go.
- execution counts become 1..n (cells that never ran keep none).
- PNG: flattened on white, without metadata, as a palette of at most 256 colours where the eye sees no difference.
- SVG: without a prologue, comments and metadata (a date); it names itself after its alternative text.
- `# alt: ...` at the end of a cell is copied to where the book looks for it, metadata mystnb.image.alt.
- a cell tagged `draw` only draws: the book, Colab and JupyterLab fold its code and show what it puts out.
- with a previous version (make run): a cell tagged `volatile`, such as one that prints run times, keeps its stored
  text when nothing but numbers changed, and a picture with the same pixels keeps its stored bytes.
Doing it twice changes nothing more.
"""
import base64
import hashlib
import html
import io
import json
import re
import sys
from pathlib import Path

import numpy as np
from book import text
from files import one_line, read_notebook, write
from PIL import Image

# what every stored notebook says of itself: the kernel that runs it, no version and no machine
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python",
                      "pygments_lexer": "ipython3"},
}
KEEP = ("cellView", "jupyter", "mystnb", "numbers", "tags")
WIDGET = "application/vnd.jupyter.widget-view+json"
PLAIN_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
ADDRESS = re.compile(r"\b0x[0-9a-f]{6,16}\b")
PROGRESS = re.compile(r"^.*\d+%\|.*\|.*$|^.*\d+it \[.*it/s.*\].*$", re.M)
NUMBER = re.compile(r"\d[\d.,:]*(e[-+]?\d+)?")


def clean_text(value):
    """Return printed text without what changes from run to run although nothing happened."""
    value = "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text(value).split("\n"))
    return ADDRESS.sub("0x0", value)


def alt_text(source):
    """Return the text of the comment `# alt: ...` that ends a cell, or None; further comment lines continue it."""
    match = re.search(r"^# ?alt:(.*(?:\n#.*)*)\s*\Z", source, re.M)
    return " ".join(match.group(1).replace("\n#", "\n").split()) if match else None


def chunks(png):
    """Return the chunks of a PNG file as (type, data), in order."""
    found, at = [], 8
    while at + 8 <= len(png):
        size = int.from_bytes(png[at:at + 4], "big")
        found.append((png[at + 4:at + 8], png[at + 8:at + 8 + size]))
        at += 12 + size
    return found


def is_canonical(png):
    """Return whether clean_png has been here; such bytes stay, whatever this machine's zlib would make of them."""
    parts = chunks(png)
    if not {name for name, _ in parts} <= PLAIN_CHUNKS or parts[0][1][9] not in (2, 3):
        return False
    palette = dict(parts).get(b"PLTE", b"")
    colours = [palette[i:i + 3] for i in range(0, len(palette), 3)]
    return colours == sorted(set(colours))


def encode(pixels):
    """Return pixels (h, w, 3) uint8 as PNG: a sorted palette where 256 colours suffice, else plain RGB."""
    colours, index = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    if len(colours) <= 256:
        image = Image.fromarray(index.reshape(pixels.shape[:2]).astype(np.uint8), mode=None).convert("P")
        image.putpalette(colours.astype(np.uint8).tobytes())
    else:
        image = Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, "png", optimize=True)
    return file.getvalue()


def clean_png(png):
    """Return a PNG without metadata, flattened on white, with a palette where the eye sees no difference."""
    if is_canonical(png):
        return png
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    picture = Image.alpha_composite(white, picture).convert("RGB")
    exact = np.asarray(picture)
    if picture.getcolors(256) is None:
        reduced = picture.quantize(256, method=Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE)
        reduced = reduced.convert("RGB")
        error = np.abs(exact.astype(np.int16) - np.asarray(reduced))
        if np.sqrt((error.astype(float) ** 2).mean()) < 2.5 and np.quantile(error, 0.999) <= 20:
            exact = np.asarray(reduced)
    return encode(exact)


def clean_svg(svg, alt=None):
    """Return an SVG that begins with its root: no prologue, no comment, no metadata; named `alt` for who cannot see."""
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>\s*", "", svg[svg.index("<svg"):], flags=re.S)
    root = svg[:svg.index(">") + 1]
    named = re.sub(r'\s(?:role|aria-label)="[^"]*"', "", root)
    label = f' role="img" aria-label="{html.escape(" ".join(alt.split()))}"' if alt else ' role="img"'
    return f"<svg{label}{named[4:]}\n{svg[len(root):].strip()}\n"


def pixels_of(b64):
    """Return a digest of a picture's pixels as they are once cleaned."""
    picture = Image.open(io.BytesIO(clean_png(base64.b64decode(b64)))).convert("RGB")
    return hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).hexdigest()


def clean_output(output, count, pictures, alt=None):
    """Return one output in its stable form, or None if nothing of it should stay."""
    kind = output["output_type"]
    if kind == "stream":
        printed = PROGRESS.sub("", clean_text(output["text"]))
        if output["name"] == "stderr" or not printed.strip():
            return None
        return {"output_type": "stream", "name": "stdout", "text": printed}
    if kind == "error":
        return {"output_type": "error", "ename": output["ename"], "evalue": output["evalue"],
                "traceback": [clean_text(line) for line in output["traceback"]]}
    data = {mime: value for mime, value in output["data"].items() if mime != WIDGET}
    plain = clean_text(data.get("text/plain", ""))
    if set(data) <= {"text/plain"} and (WIDGET in output["data"] or not plain.strip() or PROGRESS.fullmatch(plain)):
        return None
    for mime in data:
        if mime == "image/png":
            b64 = text(data[mime]).replace("\n", "")
            digest = pixels_of(b64)
            data[mime] = pictures.get(digest) or base64.b64encode(clean_png(base64.b64decode(b64))).decode()
        elif mime == "image/svg+xml":
            data[mime] = clean_svg(text(data[mime]), alt)
        elif mime == "application/json" or mime.endswith("+json"):
            continue
        else:
            data[mime] = clean_text(data[mime]) if mime == "text/plain" else text(data[mime])
    # a picture of two pixels for each one of the page keeps the width that it has there
    widths = {mime: {"width": given["width"]} for mime, given in output.get("metadata", {}).items()
              if mime in data and isinstance(given, dict) and isinstance(given.get("width"), int)}
    clean = {"output_type": kind, "data": data, "metadata": widths}
    return clean | {"execution_count": count} if kind == "execute_result" else clean


def merge_streams(outputs):
    """Return the outputs with neighbouring printed text joined: where the kernel cut it differs from run to run."""
    merged = []
    for output in outputs:
        if merged and output["output_type"] == merged[-1]["output_type"] == "stream" and \
                output["name"] == merged[-1]["name"]:
            merged[-1] = merged[-1] | {"text": text(merged[-1]["text"]) + text(output["text"])}
        else:
            merged.append(output)
    return merged


def masked(outputs):
    """Return outputs with every number of their texts masked, to see whether anything else changed."""
    kept = [{key: value for key, value in output.items() if key not in ("execution_count", "data")}
            | {"texts": {mime: value for mime, value in output.get("data", {}).items() if "image" not in mime}}
            for output in outputs]
    pictures = [value for output in outputs for mime, value in output.get("data", {}).items() if "image" in mime]
    return NUMBER.sub("#", json.dumps(kept, sort_keys=True)), pictures


def clean_metadata(cell, source):
    """Return what stays of a cell's metadata, with the alternative text of its figure filled in."""
    kept = {key: cell["metadata"][key] for key in KEEP if cell["metadata"].get(key)}
    if "tags" in kept:
        kept["tags"] = sorted(set(kept["tags"]))
    if cell["cell_type"] != "code":
        return kept
    if alt := alt_text(source):
        mystnb = kept.get("mystnb", {})
        kept["mystnb"] = mystnb | {"image": mystnb.get("image", {}) | {"alt": alt}}
    if "draw" in kept.get("tags", []):
        return fold(kept, source)
    if FOLD["hidden"] in kept.get("tags", []):  # it no longer only draws: it is open again
        kept = {key: value for key, value in kept.items() if key not in ("cellView", "jupyter")}
        kept["tags"] = [tag for tag in kept["tags"] if tag != FOLD["hidden"]]
        kept["mystnb"] = {key: value for key, value in kept.get("mystnb", {}).items() if "prompt" not in key}
    return {key: value for key, value in kept.items() if value}


# How a cell that only draws is folded: in the book by a tag of MyST-NB, with these words above it.
FOLD = {"hidden": "hide-input", "words": "How this is drawn, {} line{}"}


def fold(metadata, source):
    """Return the metadata of a cell that only draws: its code folded in the book, in Colab and in JupyterLab."""
    code = re.sub(r"^# ?alt:.*(?:\n#.*)*\s*\Z", "", source, flags=re.M)
    lines = sum(bool(line.strip()) for line in code.splitlines())
    words = FOLD["words"].format(lines, "s" * (lines != 1))
    prompts = {"code_prompt_show": words, "code_prompt_hide": words}
    return metadata | {"cellView": "form", "jupyter": metadata.get("jupyter", {}) | {"source_hidden": True},
                       "mystnb": metadata.get("mystnb", {}) | prompts,
                       "tags": sorted({*metadata["tags"], FOLD["hidden"]})}


def stored(nb):
    """Return what a previous version offers: outputs of volatile cells by source, PNG bytes by their pixels."""
    volatile, pictures = {}, {}
    for cell in nb["cells"] if nb else []:
        for output in cell.get("outputs", []):
            b64 = text(output.get("data", {}).get("image/png", "")).replace("\n", "")
            if b64 and is_canonical(base64.b64decode(b64)):
                pictures[pixels_of(b64)] = b64
        if cell["cell_type"] == "code" and "volatile" in cell["metadata"].get("tags", []):
            volatile[text(cell["source"]).rstrip()] = cell.get("outputs", [])
    return volatile, pictures


def normalise(nb, previous=None):
    """Return the notebook (a dict) in its stable form; `previous` is the version whose unchanged outputs stay."""
    volatile, pictures = stored(previous)
    cells, count, seen = [], 0, {}
    for cell in nb["cells"]:
        source = text(cell["source"]).replace("\r\n", "\n").rstrip()
        if not source:
            continue
        key = f"{cell['cell_type']}\n{source}"
        seen[key] = seen.get(key, 0) + 1
        identity = hashlib.sha256(f"{key}\n{seen[key]}".encode()).hexdigest()[:8]
        clean = {"cell_type": cell["cell_type"], "id": identity, "metadata": clean_metadata(cell, source),
                 "source": source.splitlines(keepends=True)}
        if cell["cell_type"] == "code":
            ran = cell.get("execution_count") is not None
            count += ran
            alt = clean["metadata"].get("mystnb", {}).get("image", {}).get("alt")
            # joined before, too: a piece may be a newline and nothing else, which alone would be dropped
            outputs = [clean_output(output, count if ran else None, pictures, alt)
                       for output in merge_streams(output for output in cell["outputs"]
                                                   if output.get("name") != "stderr")]
            outputs = merge_streams([output for output in outputs if output is not None])
            old = volatile.get(source)
            if old is not None and "volatile" in clean["metadata"].get("tags", []):
                old = [clean_output(output, count if ran else None, pictures, alt) for output in old]
                if None not in old and masked(merge_streams(old)) == masked(outputs):
                    outputs = merge_streams(old)
            clean |= {"execution_count": count if ran else None, "outputs": [as_lines(output) for output in outputs]}
        cells.append(clean)
    return {"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}


def as_lines(output):
    """Return an output with its texts as lists of lines, which is how a difference reads best."""
    if output["output_type"] == "stream":
        return output | {"text": text(output["text"]).splitlines(keepends=True)}
    if "data" in output:
        data = {mime: value.splitlines(keepends=True)
                if mime.startswith(("text/", "image/svg")) and isinstance(value, str) else value
                for mime, value in output["data"].items()}
        return output | {"data": data}
    return output


def to_bytes(nb):
    """Return a notebook as the bytes of its file."""
    return (json.dumps(nb, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def main(arguments):
    """Normalise the named notebooks; with --check only say which ones would change."""
    check, changed = "--check" in arguments, []
    for path in [Path(name) for name in arguments if name != "--check"]:
        nb = read_notebook(path)
        old, new = path.read_bytes(), to_bytes(normalise(nb))
        if new != old:
            changed.append(path)
            if not check:
                write(path, new)
    for path in changed:
        print(f"{path}: {'not normalised; run  make normalise' if check else 'normalised'}")
    return int(check and bool(changed))


if __name__ == "__main__":
    with one_line():
        sys.exit(main(sys.argv[1:]))
