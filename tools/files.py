"""Read, write and lock the files of the book: a damaged one is named in one line, and nothing is ever half-written."""
import base64
import contextlib
import json
import os
import secrets
import sys
from pathlib import Path


class Damaged(SystemExit, ValueError):
    """A file that does not hold what it should: a command ends with this one line, a caller may catch a ValueError."""


def read_json(path, content=None, kind=dict):
    """Return the content of a JSON file (its bytes, where they were read before); one line if it is no `kind`."""
    try:
        found = json.loads((Path(path).read_bytes() if content is None else content).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{path} is damaged ({error}); restore it with git") from None
    except OSError as error:
        raise Damaged(f"{path} cannot be read ({error.strerror})") from None
    if not isinstance(found, kind):
        raise Damaged(f"{path} is damaged (it holds {str(found)[:40]}); restore it with git")
    return found


def read_text(path):
    """Return the text of a file in UTF-8; one line if it cannot be read or is in another encoding."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except ValueError as error:
        raise Damaged(f"{path} is damaged ({error}); restore it with git") from None
    except OSError as error:
        raise Damaged(f"{path} cannot be read ({error.strerror})") from None


def read_yaml(path):
    """Return the content of a YAML file that holds names and values; one line if it is none."""
    import yaml  # here: the checks of a fresh machine read no settings

    text = read_text(path)
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", -1) + 1
        raise Damaged(f"{path} is damaged (line {line}: {getattr(error, 'problem', error)}); restore it with git"
                      ) from None
    if not isinstance(found, dict):
        raise Damaged(f"{path} is damaged (it holds {str(found)[:40]}); restore it with git")
    return found


def read_notebook(path, content=None):
    """Return a notebook as a dictionary; one line if the file does not hold a list of whole cells in format 4."""
    nb = read_json(path, content)
    cells = nb.get("cells")
    if nb.get("nbformat") != 4 or not isinstance(cells, list) or not all(map(_whole, cells)):
        raise Damaged(f"{path} is damaged (it holds no list of whole cells in format 4); restore it with git")
    return nb


def _whole(cell):
    """Return whether a cell has the parts that a notebook of format 4 gives it."""
    return (isinstance(cell, dict) and isinstance(cell.get("cell_type"), str) and isinstance(cell.get("metadata"), dict)
            and _words(cell["metadata"].get("tags", [])) and _is_text(cell.get("source"))
            and (cell["cell_type"] != "code" or isinstance(cell.get("outputs"), list))
            and all(map(_whole_output, cell.get("outputs", []))))


def _words(value):
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def _is_text(value):
    return isinstance(value, str) or _words(value)


def _whole_output(output):
    """Return whether an output has the parts of its kind, and a picture its first and its last bytes."""
    kind = output.get("output_type") if isinstance(output, dict) else None
    if kind == "stream":
        return isinstance(output.get("name"), str) and _is_text(output.get("text"))
    if kind == "error":
        return {"ename", "evalue"} <= set(output) and _words(output.get("traceback"))
    if kind not in ("display_data", "execute_result") or not isinstance(data := output.get("data"), dict):
        return False
    if not all(_is_text(value) for mime, value in data.items() if not mime.endswith("json")):
        return False
    svg = "".join(data["image/svg+xml"]) if "image/svg+xml" in data else None
    if svg is not None and not ("<svg" in svg and svg.rstrip().endswith("</svg>")):
        return False
    try:
        png = base64.b64decode("".join(data["image/png"])) if "image/png" in data else None
    except ValueError:
        return False
    return png is None or (png.startswith(b"\x89PNG\r\n\x1a\n") and png.rstrip(b"\0").endswith(b"IEND\xaeB`\x82"))


def write(path, content):
    """Write bytes under a temporary name of their own, then rename: whoever reads sees the old file or the new one.

    An error names the file, which then is as it was, and leaves nothing half-written.
    """
    part = Path(f"{path}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; not written", str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


@contextlib.contextmanager
def locked(folder, wait=""):
    """Hold a folder against other processes that ask for it; say `wait` while one of them has it. Ends with a kill."""
    try:
        import fcntl
    except ImportError:  # Windows: no locks, and temporary names of their own still keep each file whole
        yield None
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if wait:
                print(wait, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:  # a file system of a network that has none
            pass
        yield handle
    finally:
        os.close(handle)


@contextlib.contextmanager
def one_line():
    """Tell an error of the disk (full, not ours, not there) and a Ctrl-C in one line.

    What the terminal's encoding does not have, such as an umlaut in ASCII, is printed as a code and stops nothing.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    except OSError as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        raise SystemExit(130) from None


def check_writable(*folders):
    """Say now, not after minutes of work, that a folder cannot be written, or not be made where it is not there yet."""
    for folder in map(Path, folders):
        there = next(path for path in (folder, *folder.parents) if path.exists())
        if not (there.is_dir() and os.access(there, os.W_OK)):
            raise SystemExit(f"{there} cannot be written: nothing was run")
