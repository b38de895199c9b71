"""The cluster that the scenarios play in, and the objects that several of them make."""
import base64
import os
import re
import shutil
import stat
import subprocess

import api
from control_plane import Kubectl, start
from node import Image, Node

HERE = os.path.dirname(os.path.abspath(__file__))
DEPLOY = os.path.realpath(f"{HERE}/../../../deploy")
EXPORT = "exports/nas.example/export/kopia"
PASSWORD = "testkit"
# The user of deploy/existence and deploy/verify: Kopia's files are readable for their owner alone.
OWNER = 568
CLAIMS, NAMESPACES = 24, 18
# Each source of the fleet has two snapshots: this is after the first.
BETWEEN = "2026-01-01T02:00:00Z"
TEMPLATE = "{pvc}@{namespace}:/data"


SCENARIOS = []


class NotChecked(Exception):
    """Why a scenario cannot be played here."""


def scenario(function):
    SCENARIOS.append(function)
    return function


class Cluster:
    def __init__(self, program, programs, work):
        self.work, self.kubectl = work, Kubectl(programs, work)
        os.makedirs(work, exist_ok=True)
        self.make_image(program)
        self.make_repository(os.path.join(os.path.dirname(program), "examples/testkit"))
        start(programs, work)
        self.node = Node(work, [Image("rokopia", f"{work}/image", "/usr/local/bin/rokopia")])
        self.node.start()
        self.kubectl.apply(open(f"{HERE}/crds.yaml").read())
        api.until("the kinds of others are known", lambda: "replicationdestinations" in self.kubectl("api-resources"))
        for name in ("volsync-system", "apps"):
            self.namespace(name)

    def make_image(self, program):
        """The image of rokopia, which also has the entry point of VolSync's mover."""
        root = f"{self.work}/image"
        put_programs(root, {"rokopia": program})
        os.makedirs(f"{root}/mover-kopia")
        os.symlink("/usr/local/bin/rokopia", f"{root}/mover-kopia/entry.sh")

    def make_repository(self, testkit):
        self.repository, self.testkit = f"{self.work}/{EXPORT}", testkit
        self.make_fleet(self.repository, snapshots=2 * CLAIMS, index_blobs=8)

    def make_fleet(self, directory, snapshots, index_blobs):
        """A repository with a source for each claim."""
        os.makedirs(os.path.dirname(directory), exist_ok=True)
        subprocess.run([self.testkit, "fleet", directory, "--sources", str(CLAIMS), "--hosts", str(NAMESPACES),
                        "--snapshots", str(snapshots), "--index-blobs", str(index_blobs)], check=True, capture_output=True)
        belongs_to(directory, OWNER)

    def namespace(self, name):
        create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def secret(self, namespace, name, values):
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        create(f"/api/v1/namespaces/{namespace}/secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data})

    def pods(self, namespace, label):
        return api.items(f"/api/v1/namespaces/{namespace}/pods?labelSelector={label.replace('=', '%3D')}")


def put_programs(root, programs):
    """Makes the root of an image with these programs in /usr/local/bin, and with the libraries that one which is not static needs."""
    for folder in ("usr/local/bin", "proc", "volumes", "tmp", "dev"):
        os.makedirs(f"{root}/{folder}", exist_ok=True)
    if not os.path.exists(f"{root}/dev/null"):
        os.mknod(f"{root}/dev/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.chmod(f"{root}/dev/null", 0o666)
    for name, program in programs.items():
        shutil.copy(program, f"{root}/usr/local/bin/{name}")
        listed = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
        for library in re.findall(r"(/\S+)", listed):
            os.makedirs(root + os.path.dirname(library), exist_ok=True)
            shutil.copy(library, root + library)


def belongs_to(folder, owner):
    """Gives a repository to a user, with the modes that Kopia makes."""
    for folder, _, files in os.walk(folder):
        for path in [folder, *(f"{folder}/{file}" for file in files)]:
            os.chown(path, owner, owner)
            os.chmod(path, 0o700 if path == folder else 0o600)


def create(path, body):
    """Makes an object, unless it is there."""
    try:
        api.post(path, body)
    except api.Refused as refused:
        if refused.status != 409:
            raise


def is_ready(pod):
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in pod["status"].get("conditions", []))


def destination(cluster, namespace, name, volume, host, **more):
    """A destination that restores one source of the fleet into a claim of its own."""
    kopia = {"repository": "kopia-repository", "copyMethod": "Direct", "capacity": "1Gi", "accessModes": ["ReadWriteOnce"],
             "sourceIdentity": {"sourceName": volume, "sourceNamespace": host}, "moverSecurityContext": {
                 "runAsUser": OWNER, "runAsGroup": OWNER, "fsGroup": OWNER}, **more}
    cluster.secret(namespace, "kopia-repository", {"KOPIA_REPOSITORY": "filesystem:///mnt/repository", "KOPIA_PASSWORD": PASSWORD})
    api.post(f"/apis/volsync.backube/v1alpha1/namespaces/{namespace}/replicationdestinations", {
        "apiVersion": "volsync.backube/v1alpha1", "kind": "ReplicationDestination", "metadata": {"name": name},
        "spec": {"trigger": {"manual": "restore-once"}, "kopia": kopia}})


def restored(cluster, namespace, name):
    """The files in the claim of a destination."""
    root = cluster.node.volume_of(namespace, f"volsync-{name}-dest")
    return sorted(entry for entry in os.listdir(root) if entry != "lost+found")


def claim(name, **annotations):
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "labels": {"backup": "daily"}, "annotations": annotations},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}


def claims(namespace):
    return f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"


def admitted(namespace, wanted):
    try:
        return api.post(claims(namespace), wanted)
    except api.Refused as refused:
        if "rokopia" in refused.message or "not known" in refused.message:
            return None
        raise
