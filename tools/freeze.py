"""Write the exact versions of this environment to requirements.lock:  python tools/freeze.py  (make freeze)

A lock belongs to one platform and one Python: it answers "with what did this work?". Install from it with
    make book REQUIREMENTS=requirements.lock
"""
import importlib.metadata
import platform
import re

import book
import files


def lock(packages):
    """Return the text of a lock for {name: version}; a build tag such as +cpu goes, other indexes do not have it."""
    pins = {re.sub(r"[-_.]+", "-", name).lower(): version.split("+")[0] for name, version in packages.items()}
    lines = [f"{name}=={version}" for name, version in sorted(pins.items()) if name not in ("tlutils", "pip")]
    made = f"# Python {platform.python_version()}, {platform.system()} {platform.machine()}. Written by `make freeze`."
    return "\n".join([made, *lines]) + "\n"


if __name__ == "__main__":
    path = book.ROOT / "requirements.lock"
    text = lock({d.metadata["Name"]: d.version for d in importlib.metadata.distributions()})
    with files.one_line():
        files.write(path, text.encode())
    print(f"{path.name}: {len(text.splitlines()) - 1} packages")
