"""Test one chapter:  python tools/one_chapter.py 04   (make test CH=04)

Its text, the experiments whose records it shows, and its notebook, executed.
"""
import os
import subprocess
import sys

import chapter
import files


def commands(path, root=chapter.ROOT):
    """Return the arguments of pytest for a chapter, one list a run."""
    from tlutils.experiments import experiment

    names = [one.name for one in experiment.registry().values() if one.chapter == path.stem]
    tests = [root / "tests" / "experiments" / f"test_{name}.py" for name in names]
    experiments = [str(test) for test in tests if test.exists()]
    return [[str(root / "tests" / "test_chapters.py"), "-k", path.stem], *([experiments] if experiments else []),
            ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=900", str(path)]]


def main(number, run=subprocess.run):
    """Run the tests of a chapter; return the first exit status that is not zero."""
    for arguments in commands(chapter.find(number)):
        words = [sys.executable, "-m", "pytest", "--quiet", *arguments]
        if status := run(words, cwd=chapter.ROOT, env=os.environ).returncode:
            return status
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: make test CH=04")
    with files.one_line():
        sys.exit(main(sys.argv[1]))
