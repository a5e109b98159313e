"""Looks every locked dependency up in a vulnerability database, and fails where that could not be done for all.

pip-audit by itself passes when the index does not answer for a package; here that is a failure, named as such.
"""

from __future__ import annotations

import json
import subprocess
import sys


def main() -> int:
    """Returns 0 when all were looked up and none is known to be vulnerable, 1 for findings, 2 for no answer."""
    arguments = ["--require-hashes", "--disable-pip", "-r", "requirements-dev.lock", "--format", "json"]
    done = subprocess.run(
        [sys.executable, "-m", "pip_audit", *arguments, "--progress-spinner", "off", *sys.argv[1:]],
        capture_output=True,
        text=True,
        check=False,
    )
    if not done.stdout.strip():
        print(f"The vulnerability database gave no answer:\n{done.stderr.strip()[-600:]}")
        return 2
    found = json.loads(done.stdout)["dependencies"]
    unanswered = [entry["name"] for entry in found if "skip_reason" in entry]
    vulnerable = [entry for entry in found if entry.get("vulns")]
    for entry in vulnerable:
        for finding in entry["vulns"]:
            print(f"{entry['name']} {entry['version']}: {finding['id']}, fixed in {finding['fix_versions'] or 'none'}")
    print(f"{len(found) - len(unanswered)} of {len(found)} dependencies looked up, {len(vulnerable)} vulnerable.")
    if unanswered:
        print(f"Not looked up, because the database has no answer for them: {', '.join(unanswered)}")
    return 1 if vulnerable else 2 if unanswered else 0


if __name__ == "__main__":
    sys.exit(main())
