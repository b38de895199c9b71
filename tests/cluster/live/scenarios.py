"""What a cluster makes of deploy/: scenarios.py PROGRAM FOLDER-WITH-KUBERNETES WORK

Runs in namespaces of its own (`run` makes them). Each scenario says in a line what it saw in the API server's objects. The variable
ROKOPIA_LIVE_ONLY is a pattern: only the scenarios whose names it fits are played.
"""
import os
import re
import sys

import api
from cluster import SCENARIOS, Cluster, NotChecked
# In this order: later ones use what earlier ones left.
import existence  # noqa: F401
import restores  # noqa: F401
import kopiur  # noqa: F401
import volsync  # noqa: F401
import admission  # noqa: F401
import night  # noqa: F401


def main():
    program, programs, work = sys.argv[1:]
    cluster = Cluster(program, programs, work)
    skipped = {}
    failed, only = 0, os.environ.get("ROKOPIA_LIVE_ONLY", "")
    chosen = [run for run in SCENARIOS if re.search(only, run.__name__)]
    for run in chosen:
        try:
            print(f"cluster: {run(cluster)}", flush=True)
        except NotChecked as reason:
            skipped.setdefault(str(reason), []).append(run.__name__)
        except (AssertionError, api.Refused, OSError, StopIteration) as problem:
            failed += 1
            print(f"cluster: {run.__name__} FAILED: {problem}", flush=True)
    for reason, names in skipped.items():
        print(f"cluster: NOT CHECKED, {reason}: {', '.join(names)}", flush=True)
    passed = len(chosen) - failed - sum(map(len, skipped.values()))
    print(f"{passed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed else 0)


main()
