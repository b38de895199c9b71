"""Becomes the command of a container: container.py SPEC, as the first process of new mount, PID and network namespaces.

SPEC is JSON: root, mounts [[directory, path, read only]], read_only (the root), gate (a file to wait for, or null), user, group, groups, command, environment.
"""
import ctypes
import json
import os
import subprocess
import sys
import time

PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
LAST_CAPABILITY = 40


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


def main():
    spec = json.load(open(sys.argv[1]))
    root = spec["root"]
    mount("--make-rprivate", "/")
    mount("--bind", root, root)
    mount("-t", "proc", "proc", f"{root}/proc")
    # Mount points inside of volumes come after them.
    mount("-t", "tmpfs", "-o", "mode=0755", "none", f"{root}/volumes")
    for directory, path, read_only in sorted(spec["mounts"], key=lambda entry: entry[1]):
        target = root + path
        if not os.path.isdir(target):
            # The image has no such directory: a layer over its parent, as container runtimes make it in the writable one.
            os.makedirs(target)
        mount("--bind", directory, target)
        if read_only:
            mount("-o", "remount,ro,bind", target)
    if spec["read_only"]:
        mount("-o", "remount,ro,bind", root)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    while spec["gate"] and not os.path.exists(spec["gate"]):
        time.sleep(0.02)
    os.chdir(root)
    os.chroot(".")
    os.chdir("/")
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(LAST_CAPABILITY + 1):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups(spec["groups"])
    os.setgid(spec["group"])
    os.setuid(spec["user"])
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.execve(spec["command"][0], spec["command"], spec["environment"])


main()
