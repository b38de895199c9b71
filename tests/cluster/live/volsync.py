"""VolSync's operator as it is, with rokopia as its mover.

The fork with Kopia is in no registry: ROKOPIA_LIVE_VOLSYNC names a folder with the program `manager`, and the folder `crds` with the
definitions of its kinds and of volume snapshots. Without it the scenarios are not played, and the stand-in does its work in the others.
"""
import json
import os
import subprocess
import time

import api
import operator_stand_in
from cluster import BETWEEN, DEPLOY, OWNER, PASSWORD, NotChecked, scenario

NAMESPACE, CLASS = "volsync-apps", "directories"
# A source of the fleet.
VOLUME, HOST = "volume-00001", "night-01"
# The operator allows eight retries, which take half an hour: these Jobs have none.
NO_RETRIES = """
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: no-retries}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [batch], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [jobs]}]
  matchConditions: [{name: failing, expression: 'object.metadata.name.startsWith("volsync-dst-failing")'}]
  failurePolicy: Fail
  reinvocationPolicy: IfNeeded
  mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: 'Object{spec: Object.spec{backoffLimit: 0}}'}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: no-retries}
spec: {policyName: no-retries}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: directories}
provisioner: directories.example
"""


class VolSync:
    def __init__(self, cluster):
        folder = os.environ.get("ROKOPIA_LIVE_VOLSYNC")
        if not folder:
            raise NotChecked("ROKOPIA_LIVE_VOLSYNC names no folder with VolSync's operator")
        self.cluster = cluster
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", f"{os.path.realpath(folder)}/crds")
        api.until("the kinds are known", lambda: "volumesnapshots" in cluster.kubectl("api-resources", "--api-group=snapshot.storage.k8s.io"))
        cluster.kubectl.apply(NO_RETRIES)
        cluster.kubectl.apply(cluster.kubectl.kustomize(f"{DEPLOY}/volsync/admission-policy"))
        cluster.namespace(NAMESPACE)
        cluster.secret(NAMESPACE, "kopia-repository", {"KOPIA_REPOSITORY": "filesystem:///mnt/repository", "KOPIA_PASSWORD": PASSWORD})
        # A policy is in force a moment after it is stored.
        time.sleep(3)
        self.program, self.log = f"{folder}/manager", f"{cluster.work}/volsync-manager.log"
        self.start()

    def start(self):
        log = open(self.log, "ab")
        self.process = subprocess.Popen(
            [self.program, f"--kubeconfig={self.cluster.work}/kubeconfig", f"--kopia-container-image={operator_stand_in.STOCK_IMAGE}",
             "--health-probe-bind-address=127.0.0.1:18381", "--metrics-bind-address=0"], stdout=log, stderr=log,
            env={"PATH": os.environ["PATH"], "RELATED_IMAGE_KOPIA_CONTAINER": operator_stand_in.STOCK_IMAGE})

    def stop(self):
        self.process.kill()
        self.process.wait()


def volsync_of(cluster):
    """The operator, which the first scenario that needs it starts."""
    if not hasattr(cluster, "volsync"):
        cluster.volsync = VolSync(cluster)
    return cluster.volsync


def path_of(name):
    return operator_stand_in.path_of(NAMESPACE, name)


def destination(name, **more):
    """A destination that restores one source of the fleet into a claim of its own."""
    kopia = {"repository": "kopia-repository", "copyMethod": "Direct", "capacity": "1Gi", "accessModes": ["ReadWriteOnce"],
             "storageClassName": CLASS, "cacheCapacity": "1Gi", "sourceIdentity": {"sourceName": VOLUME, "sourceNamespace": HOST},
             "moverSecurityContext": {"runAsUser": OWNER, "runAsGroup": OWNER, "fsGroup": OWNER}, **more}
    api.post(operator_stand_in.path_of(NAMESPACE, "").rstrip("/"), {
        "apiVersion": "volsync.backube/v1alpha1", "kind": "ReplicationDestination", "metadata": {"name": name},
        "spec": {"trigger": {"manual": "first"}, "kopia": kopia}})


def synchronized(name, trigger="first", seconds=180):
    """The status, once the operator says that this manual trigger is done."""

    def done():
        status = api.get(path_of(name)).get("status", {})
        return status if status.get("lastManualSync") == trigger else None

    try:
        return api.until(f"{name} is synchronized", done, seconds)
    except AssertionError as late:
        raise AssertionError(f"{late}; its status is {json.dumps(api.get(path_of(name)).get('status'))[:1500]}") from late


def failed(name, seconds=120):
    def over():
        status = api.get(path_of(name)).get("status", {})
        return status if status.get("latestMoverStatus", {}).get("result") == "Failed" else None

    return api.until(f"{name} has failed", over, seconds)


def files(cluster, claim):
    """What is in the volume of a claim."""
    name = api.get(f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims/{claim}")["spec"]["volumeName"]
    root = api.get(f"/api/v1/persistentvolumes/{name}")["spec"]["hostPath"]["path"]
    return {entry: open(f"{root}/{entry}", "rb").read() for entry in os.listdir(root) if entry != "lost+found"}


@scenario
def volsync_restores_directly_and_by_trigger(cluster):
    volsync_of(cluster)
    destination("direct")
    status = synchronized("direct")
    mover = status["latestMoverStatus"]
    assert mover["result"] == "Successful" and "Snapshot restore completed" in mover["logs"], mover
    first = files(cluster, "volsync-direct-dest")
    assert list(first) == ["data.bin"], first
    uids = {job["metadata"]["uid"] for job in api.items(f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs")}
    api.merge(path_of("direct"), {"spec": {"trigger": {"manual": "second"}}})
    again = synchronized("direct", "second")
    assert again["lastSyncTime"] >= status["lastSyncTime"] and files(cluster, "volsync-direct-dest") == first
    return f"VolSync: Direct ends with {mover['result']}, and again by a new trigger; {len(uids)} Jobs are left"


@scenario
def volsync_picks_the_snapshot(cluster):
    """previous, restoreAsOf and sourceIdentity, each into a volume of its own."""
    volsync_of(cluster)
    wanted = {"latest": {}, "previous": {"previous": 1}, "as-of": {"restoreAsOf": BETWEEN},
              "other": {"sourceIdentity": {"sourceName": "volume-00002", "sourceNamespace": "night-02"}}}
    for name, more in wanted.items():
        destination(f"pick-{name}", **more)
    found = {}
    for name in wanted:
        status = synchronized(f"pick-{name}")
        assert status["latestMoverStatus"]["result"] == "Successful", (name, status)
        found[name] = files(cluster, f"volsync-pick-{name}-dest")
        assert found[name], name
    assert found["previous"] == found["as-of"] and len({json.dumps([*map(repr, data.items())]) for data in found.values()}) == 3, found
    return f"VolSync: {', '.join(wanted)} are restored"


@scenario
def volsync_makes_an_image_and_populates_a_claim(cluster):
    """copyMethod Snapshot, and a claim that names the destination as its source."""
    volsync_of(cluster)
    destination("image", copyMethod="Snapshot")
    status = synchronized("image")
    assert status["latestImage"]["kind"] == "VolumeSnapshot", status
    claims = f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims"
    api.post(claims, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "populated"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": CLASS, "resources": {"requests": {"storage": "1Gi"}},
        "dataSourceRef": {"apiGroup": "volsync.backube", "kind": "ReplicationDestination", "name": "image"}}})
    api.until("the claim is bound", lambda: api.get(f"{claims}/populated")["status"].get("phase") == "Bound", 120)
    assert list(files(cluster, "populated")) == ["data.bin"]
    return f"VolSync: Snapshot leaves {status['latestImage']['name']}, and a claim with the destination as its source is bound with the data"


@scenario
def volsync_says_why_a_restore_failed(cluster):
    volsync_of(cluster)
    destination("failing-strict", additionalArgs=["--rokopia-strict"], sourceIdentity={"sourceName": "nobody", "sourceNamespace": HOST})
    status = failed("failing-strict")
    kopia, logs = status.get("kopia", {}), status["latestMoverStatus"]["logs"]
    assert "nobody" in kopia.get("requestedIdentity", "") and kopia.get("availableIdentities"), kopia
    assert "ERROR" in logs and status.get("lastManualSync") is None, status
    assert files(cluster, "volsync-failing-strict-dest") == {}
    return f"VolSync: a strict restore of an unknown source fails, {kopia['requestedIdentity']} is named beside {len(kopia['availableIdentities'])} others"


@scenario
def volsync_tries_again_until_the_storage_is_back(cluster):
    volsync_of(cluster)
    away = cluster.repository + ".away"
    os.rename(cluster.repository, away)
    os.mkdir(cluster.repository, 0o755)
    destination("failing-then-good")
    try:
        status = failed("failing-then-good")
        assert status.get("lastManualSync") is None, status
        assert files(cluster, "volsync-failing-then-good-dest") == {}
    finally:
        os.rmdir(cluster.repository)
        os.rename(away, cluster.repository)
    status = synchronized("failing-then-good")
    assert status["latestMoverStatus"]["result"] == "Successful" and files(cluster, "volsync-failing-then-good-dest")
    return "VolSync: with the storage away the restore fails and is not counted as done; when it is back, the next try restores"


@scenario
def volsync_ends(cluster):
    """What follows is looked after by the stand-in."""
    volsync_of(cluster).stop()
    return "VolSync's operator is stopped"
