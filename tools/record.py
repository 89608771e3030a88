"""Run the recorded experiments of a chapter again:  python tools/record.py 02 [--list]  (make results CH=02)

Each file in results/ carries the command that made it. COMMANDS holds those of experiments that have no record yet.
Only experiments of the book are run, whatever a file says.
"""
import os
import re
import shlex
import subprocess
import sys

import chapter
import files

COMMANDS = {}


def commands(number, results=chapter.ROOT / "results"):
    """Return {command: seconds it took when it was recorded, or None} for one chapter, each command once."""
    found = dict.fromkeys(COMMANDS.get(f"{int(number):02d}", []))
    for path in sorted(results.glob(f"{int(number):02d}_*/*.json")):
        made = files.read_json(path)
        command, seconds = made.get("command"), made.get("wall_s")
        if not isinstance(command, str) or not isinstance(seconds, int | float):
            raise SystemExit(f"{path} is damaged (it lacks command or wall_s); restore it with git")
        found[command] = max(found.get(command) or 0, seconds)
    return found


def argument_list(command, experiments=chapter.ROOT / "tlutils" / "experiments"):
    """Return the variables of a command and its words, with this environment's Python in the place of `python`.

    One line for whatever is not  [TLUTILS_NAME=value ...] python -m tlutils.experiments.NAME ...  with a NAME there is.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    count = next((k for k, word in enumerate(words) if not re.fullmatch(r"TLUTILS_[A-Z_]+=.*", word, re.S)), 0)
    variables, words = dict(word.split("=", 1) for word in words[:count]), words[count:]
    module = re.fullmatch(r"tlutils\.experiments\.([a-z][a-z0-9_]*)", words[2]) if len(words) > 2 else None
    if not module or words[0] not in ("python", "python3") or words[1] != "-m" \
            or not (experiments / f"{module.group(1)}.py").is_file():
        raise SystemExit(f"no experiment of the book, and not run: {command!r:.200}")
    return variables, [sys.executable, *words[1:]]


def main(arguments):
    """Run, or with --list only print, the commands of a chapter; return the first non-zero exit status."""
    numbers = [word for word in arguments if re.fullmatch("[0-9]{1,2}", word)]
    if len(numbers) != 1 or set(arguments) - {*numbers, "--list"}:
        wrong = " ".join(word for word in arguments if word not in (*numbers, "--list"))
        raise SystemExit(f"usage: make results CH=02  (LIST=1: only list them){f'; got CH={wrong}' if wrong else ''}")
    todo = [(command, seconds, *argument_list(command)) for command, seconds in commands(numbers[0]).items()]
    if not todo:
        raise SystemExit(f"chapter {numbers[0]} has no recorded experiments")
    for command, seconds, variables, words in todo:
        print(f"{command}   ({f'took {seconds / 60:.0f} min' if seconds else 'never recorded'})", flush=True)
        if "--list" in arguments:
            continue
        status = subprocess.run(words, cwd=chapter.ROOT, env=os.environ | variables, check=False).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    with files.one_line():
        sys.exit(main(sys.argv[1:]))
