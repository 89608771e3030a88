"""Ask every external link of the book whether it still answers: python tools/linkcheck.py  (make linkcheck)."""
import json
import re
import subprocess
import sys
from collections import Counter

import book
import build
import files

UNREACHED = re.compile(r"Max retries|NameResolution|Name or service|Failed to resolve|timed? ?out|Connection|ProxyError"
                       r"|unreachable|SSLError|RemoteDisconnected", re.I)
REFUSED = re.compile(r"\b(401|403|429|999|503)\b")  # sites that turn away programs, not readers


def sort(lines):
    """Return the links of Sphinx's output.json by verdict (ok, broken, ...), each as (address, page, why)."""
    sorted_links = {"ok": [], "broken": [], "refused": [], "unreached": []}
    for line in filter(str.strip, lines):
        link = json.loads(line)
        if not link["uri"].startswith("http") or link["status"] in ("ignored", "unchecked", "local"):
            continue
        verdict = "ok"
        if link["status"] in ("broken", "timeout", "rate-limited"):
            verdict = ("unreached" if link["status"] == "timeout" or UNREACHED.search(link["info"])
                       else "refused" if link["status"] == "rate-limited" or REFUSED.search(link["info"]) else "broken")
        sorted_links[verdict].append((link["uri"], f"{link['filename']}:{link['lineno']}", link["info"][:160]))
    return sorted_links


def report(links):
    """Print what was found; return the exit status: 1 for a broken link, or if no host answered at all."""
    for verdict, words in (("broken", "does not exist any more"), ("refused", "turns programs away; try it by hand"),
                           ("unreached", "could not be reached from here")):
        for uri, page, why in sorted(set(links[verdict])):
            print(f"{verdict:9} {uri}\n          {page}: {words}. {why}")
    counts = Counter({verdict: len({uri for uri, *_ in found}) for verdict, found in links.items()})
    print(f"{sum(counts.values())} external links: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items()))
    if not counts["ok"] and counts["unreached"]:
        print("No host answered: is there a network?")
    return int(bool(counts["broken"]) or not counts["ok"])


def main():
    """Build with Sphinx's linkcheck builder and report its findings."""
    where = book.ROOT / "_build" / "linkcheck"
    done = subprocess.run([*build.JUPYTER_BOOK, "build", str(book.ROOT), "--quiet", "--builder",
                           "linkcheck", "--path-output", str(where)], capture_output=True, text=True)
    found = sorted(where.rglob("output.json"))
    if not found:
        raise SystemExit(f"the link check did not finish:\n{(done.stdout + done.stderr)[-3000:]}")
    return report(sort(found[0].read_text(encoding="utf-8").splitlines()))


if __name__ == "__main__":
    with files.one_line():
        sys.exit(main())
