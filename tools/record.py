"""Run the recorded experiments of a chapter again:  python tools/record.py 02 [--list]  (make results CH=02)

Each file in results/ carries the command that made it. COMMANDS holds those of experiments that have no record yet.
"""
import json
import re
import shlex
import subprocess
import sys

import chapter

COMMANDS = {}


def commands(number, results=chapter.ROOT / "results"):
    """Return {command: seconds it took when it was recorded, or None} for one chapter, each command once."""
    found = dict.fromkeys(COMMANDS.get(f"{int(number):02d}", []))
    for path in sorted(results.glob(f"{int(number):02d}_*/*.json")):
        made = json.loads(path.read_text(encoding="utf-8"))
        found[made["command"]] = max(found.get(made["command"]) or 0, made["wall_s"])
    return found


def argument_list(command):
    """Return the words of a command, with this environment's Python in the place of `python`."""
    words = shlex.split(command)
    environment = [word for word in words if re.fullmatch(r"[A-Z_]+=.*", word)]
    words = words[len(environment):]
    return environment, [sys.executable if words[0] in ("python", "python3") else words[0], *words[1:]]


def main(arguments):
    """Run, or with --list only print, the commands of a chapter; return the first non-zero exit status."""
    numbers = [word for word in arguments if word.isdigit()]
    if len(numbers) != 1:
        raise SystemExit("usage: make results CH=02")
    todo = commands(numbers[0])
    if not todo:
        raise SystemExit(f"chapter {numbers[0]} has no recorded experiments")
    for command, seconds in todo.items():
        print(f"{command}   ({f'took {seconds / 60:.0f} min' if seconds else 'never recorded'})", flush=True)
        if "--list" in arguments:
            continue
        environment, words = argument_list(command)
        status = subprocess.run(["env", *environment, *words], cwd=chapter.ROOT, check=False).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
