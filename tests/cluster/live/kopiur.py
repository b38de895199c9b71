"""kopiur's controller and mover as they are, with rokopia as their `kopia`.

They are in no registry: ROKOPIA_LIVE_KOPIUR names a folder with the programs kopiur-controller and kopiur-mover, and the folder
`crds` with the definitions of its kinds. Without it the scenarios are not played.
"""
import json
import os
import shutil
import subprocess

import api
from cluster import BETWEEN, PASSWORD, NotChecked, belongs_to, is_ready, put_programs, scenario
from node import Image

GROUP = "/apis/kopiur.home-operations.com/v1alpha1"
# Its movers run as this user.
USER = 65532
NAMESPACE = "kopiur-apps"
EXPORT = "exports/nas.example/export/kopiur"
# A source of the fleet, and its identity in kopiur's words.
VOLUME, HOST, PATH = "volume-00001", "night-01", "/data"


class Kopiur:
    def __init__(self, cluster):
        folder = os.environ.get("ROKOPIA_LIVE_KOPIUR")
        if not folder:
            raise NotChecked("ROKOPIA_LIVE_KOPIUR names no folder with kopiur")
        self.cluster, self.log = cluster, f"{cluster.work}/kopiur-controller.log"
        root = f"{cluster.work}/kopiur-image"
        rokopia = f"{cluster.work}/image/usr/local/bin/rokopia"
        put_programs(root, {"kopiur-mover": f"{folder}/kopiur-mover", "kopia": rokopia})
        os.makedirs(f"{root}/scratch")
        os.chmod(f"{root}/scratch", 0o777)
        cluster.node.images.insert(0, Image("kopiur-mover", root, "/usr/local/bin/kopiur-mover", USER, talks=True))
        cluster.kubectl("apply", "--server-side", "-f", f"{os.path.realpath(folder)}/crds/all-crds.yaml")
        api.until("kopiur's kinds are known", lambda: "restores" in cluster.kubectl("api-resources", "--api-group=kopiur.home-operations.com"))
        cluster.namespace(NAMESPACE)
        # Its chart makes narrower roles.
        api.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "movers"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": f"system:serviceaccounts:{NAMESPACE}"}]})
        self.repository = f"{cluster.work}/{EXPORT}"
        shutil.copytree(cluster.repository, self.repository)
        belongs_to(self.repository, USER)
        programs = f"{cluster.work}/kopiur-programs"
        os.makedirs(programs)
        os.symlink(rokopia, f"{programs}/kopia")
        state = f"{cluster.work}/kopiur-state"
        os.makedirs(state)
        # No HOME: rokopia gets along without.
        environment = {"PATH": programs, "KUBECONFIG": f"{cluster.work}/kubeconfig", "KOPIUR_NAMESPACE": NAMESPACE,
                       "KOPIUR_KOPIA_CACHE_DIR": state, "KOPIUR_MOVER_IMAGE": "registry.example/rokopia-kopiur-mover:0.1.0",
                       "RUST_LOG": "info"}
        log = open(self.log, "ab")
        self.process = subprocess.Popen([f"{folder}/kopiur-controller"], env=environment, stdout=log, stderr=log)
        cluster.secret(NAMESPACE, "repository", {"KOPIA_PASSWORD": PASSWORD})

    def stop(self):
        self.process.kill()
        self.process.wait()


def kopiur_of(cluster):
    """The controller, which the first scenario that needs it starts."""
    if not hasattr(cluster, "kopiur"):
        cluster.kopiur = Kopiur(cluster)
    return cluster.kopiur


def path_of(kind, name=""):
    return f"{GROUP}/namespaces/{NAMESPACE}/{kind}" + (f"/{name}" if name else "")


def make(kind, name, spec):
    plural = {"Repository": "repositories", "SnapshotPolicy": "snapshotpolicies", "Restore": "restores"}[kind]
    api.post(path_of(plural), {"apiVersion": "kopiur.home-operations.com/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
    return path_of(plural, name)


def ended(path, phases, seconds=180):
    """The status, once it has one of these phases."""

    def over():
        status = api.get(path).get("status", {})
        return status if status.get("phase") in phases else None

    try:
        return api.until(f"{path} is {' or '.join(phases)}", over, seconds)
    except AssertionError as late:
        raise AssertionError(f"{late}; its status is {json.dumps(api.get(path).get('status'))}") from late


def directory(path, **more):
    """A repository that is an export at `path`."""
    return {"backend": {"filesystem": {"path": path, "volume": {"nfs": {"server": "nas.example", "path": "/export/kopiur"}}}},
            "encryption": {"passwordSecretRef": {"name": "repository", "key": "KOPIA_PASSWORD"}}, **more}


def target(name):
    return {"pvc": {"name": name, "capacity": "1Gi", "accessModes": ["ReadWriteOnce"]}}


def files(cluster, claim):
    root = cluster.node.volume_of(NAMESPACE, claim)
    return sorted(entry for entry in os.listdir(root) if entry != "lost+found")


@scenario
def kopiur_finds_the_repository_and_its_snapshots(cluster):
    kopiur = kopiur_of(cluster)
    status = ended(make("Repository", "nas", directory(kopiur.repository)), ("Ready", "Failed"))
    assert status["phase"] == "Ready", status
    discovered = api.until("its snapshots are discovered", lambda: api.items(path_of("snapshots")))
    return f"kopiur: the repository is Ready, {len(discovered)} snapshots are discovered ({json.dumps(status)[:200]})"


@scenario
def kopiur_restores_by_snapshot_policy_and_identity(cluster):
    kopiur_of(cluster)
    repository = {"kind": "Repository", "name": "nas"}
    policy = {"repository": repository, "identity": {"username": VOLUME, "hostname": HOST},
              "sources": [{"pvc": {"name": VOLUME}, "sourcePathOverride": PATH}]}
    make("SnapshotPolicy", VOLUME, policy)
    identity = {"username": VOLUME, "hostname": HOST, "sourcePath": PATH}
    snapshot = api.items(path_of("snapshots"))[0]["metadata"]["name"]
    sources = {
        "by-snapshot": {"snapshotRef": {"name": snapshot}},
        "by-policy": {"fromPolicy": {"name": VOLUME}},
        "by-policy-offset": {"fromPolicy": {"name": VOLUME, "offset": 1}},
        "by-policy-as-of": {"fromPolicy": {"name": VOLUME, "asOf": BETWEEN}},
        "by-identity": {"identity": identity},
        "by-identity-offset": {"identity": {**identity, "offset": 1}},
    }
    restored = {}
    for name, source in sources.items():
        make("Restore", name, {"repository": repository, "source": source, "target": target(name)})
    for name in sources:
        status = ended(path_of("restores", name), ("Completed", "Failed"))
        assert status["phase"] == "Completed", f"{name}: {status}"
        assert files(cluster, name) == ["data.bin"], (name, files(cluster, name))
        restored[name] = status.get("resolved", {}).get("kopiaSnapshotID")
    latest, previous = restored["by-policy"], restored["by-policy-offset"]
    assert latest and previous and latest != previous, restored
    assert restored["by-identity"] == latest and restored["by-identity-offset"] == restored["by-policy-as-of"] == previous, restored
    return f"kopiur: {', '.join(sources)} end as Completed, with the data in their claims"


@scenario
def kopiur_verifies(cluster):
    """Quick and deep in turn, each as soon as its cron allows."""
    kopiur_of(cluster)
    every_minute, seldom = {"cron": "* * * * *"}, {"cron": "0 0 1 1 *"}
    policy = {"repository": {"kind": "Repository", "name": "nas"}, "identity": {"username": VOLUME, "hostname": HOST},
              "sources": [{"pvc": {"name": VOLUME}, "sourcePathOverride": PATH}]}
    tiers = {
        "quick": {"quick": every_minute, "verifyFilesPercent": 100},
        "deep": {"quick": seldom, "deep": {"schedule": every_minute, "capacity": "1Gi"}, "successExpr": "restored.files > 0"},
    }
    # kopiur 0.4.3 restores into /scratch and mounts nothing there: that must be in the image, and writable.
    movers = {"deep": {"mover": {"securityContext": {"readOnlyRootFilesystem": False}}}}
    for tier, verification in tiers.items():
        make("SnapshotPolicy", f"verified-{tier}", {**policy, **movers.get(tier, {}), "verification": verification})
    for tier in tiers:

        def verified():
            conditions = api.get(path_of("snapshotpolicies", f"verified-{tier}")).get("status", {}).get("conditions", [])
            return next((entry for entry in conditions if entry["type"] == "Verified"), None)

        condition = api.until(f"{tier} has verified", verified, 180)
        assert condition["status"] == "True" and tier in condition["message"], condition
    for tier in tiers:
        api.delete(path_of("snapshotpolicies", f"verified-{tier}"))
    return "kopiur: quick and deep verification set Verified on their policies"


@scenario
def kopiur_sorts_failures(cluster):
    """What goes wrong in the repository is the reason in the status, and only what may pass is tried again."""
    kopiur = kopiur_of(cluster)
    cluster.secret(NAMESPACE, "wrong", {"KOPIA_PASSWORD": "wrong"})
    empty = f"{cluster.work}/exports/nas.example/export/empty"
    os.makedirs(empty)
    os.chmod(empty, 0o777)
    wrong = directory(kopiur.repository)
    wrong["encryption"]["passwordSecretRef"]["name"] = "wrong"
    nothing = directory(empty)
    nothing["backend"]["filesystem"]["volume"]["nfs"]["path"] = "/export/empty"
    told = {}
    for name, spec in {"wrong-password": wrong, "empty": nothing}.items():
        make("Repository", name, spec)

        def failed():
            conditions = api.get(path_of("repositories", name)).get("status", {}).get("conditions", [])
            return next((entry for entry in conditions if entry["status"] == "False"), None)

        told[name] = api.until(f"{name} has failed", failed, 120)
    assert os.listdir(empty) == [], os.listdir(empty)
    lost = {"identity": {"username": VOLUME, "hostname": HOST, "sourcePath": PATH, "snapshotID": "0" * 32}}
    make("Restore", "lost", {"repository": {"kind": "Repository", "name": "nas"}, "source": lost, "target": target("lost")})
    status = ended(path_of("restores", "lost"), ("Failed", "Completed"))
    assert status["phase"] == "Failed" and "NotFound" in json.dumps(status), status
    assert files(cluster, "lost") == []
    assert "password" in json.dumps(told["wrong-password"]), told
    reasons = ", ".join(f"{name}: {entry['reason']}" for name, entry in told.items())
    return f"kopiur: {reasons}; a snapshot that is not there: NotFound, nothing written"


@scenario
def kopiur_browses(cluster):
    """The pod of a browse session, and the commands that its command line runs in it."""
    kopiur = kopiur_of(cluster)
    work = {"version": 1, "operation": {"browseSession": {"ttlSeconds": 300}},
            "identity": {"username": VOLUME, "hostname": HOST, "sourcePath": PATH}, "repository": {"filesystem": {"path": kopiur.repository}},
            "targetRef": {"apiVersion": "kopiur.home-operations.com/v1alpha1", "kind": "Repository", "name": "nas", "namespace": NAMESPACE}}
    api.post(f"/api/v1/namespaces/{NAMESPACE}/configmaps", {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "browse"}, "data": {"work-spec.json": json.dumps(work)}})
    cache = "/var/cache/kopia"
    variables = {"KOPIUR_WORK_SPEC_PATH": "/etc/kopiur/work-spec.json", "KOPIA_CACHE_DIRECTORY": f"{cache}/cache",
                 "KOPIA_LOG_DIR": f"{cache}/logs", "KOPIA_CONFIG_PATH": f"{cache}/repository.config"}
    labels = {"app.kubernetes.io/managed-by": "kopiur", "kopiur.home-operations.com/session": "browse"}
    api.post(f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs", {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "browse", "labels": labels},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": {
            "restartPolicy": "Never",
            "volumes": [{"name": "work-spec", "configMap": {"name": "browse"}}, {"name": "kopia-cache", "emptyDir": {}},
                        {"name": "repo", "nfs": {"server": "nas.example", "path": "/export/kopiur"}}],
            "containers": [{
                "name": "mover", "image": "registry.example/rokopia-kopiur-mover:0.1.0", "envFrom": [{"secretRef": {"name": "repository"}}],
                "env": [{"name": name, "value": value} for name, value in variables.items()],
                "volumeMounts": [{"name": "work-spec", "mountPath": "/etc/kopiur"}, {"name": "kopia-cache", "mountPath": cache},
                                 {"name": "repo", "mountPath": kopiur.repository}],
                "readinessProbe": {"exec": {"command": ["/usr/local/bin/kopiur-mover", "ready"]}},
                "securityContext": {"runAsUser": USER, "runAsNonRoot": True, "readOnlyRootFilesystem": True}}]}}}})
    api.until("the session is ready", lambda: any(map(is_ready, cluster.pods(NAMESPACE, "job-name=browse"))))
    container = next(started for started in cluster.node.started if started.name.startswith(f"{NAMESPACE}/browse-"))

    def kopia(*command):
        done = container.execute("/usr/local/bin/kopia", *command)
        assert done.returncode == 0, done
        return done.stdout

    listed = json.loads(kopia("snapshot", "list", "--json", "--all"))
    root = listed[0]["rootEntry"]["obj"]
    entries = json.loads(kopia("show", root))["entries"]
    data = kopia("show", entries[0]["obj"])
    assert [entry["name"] for entry in entries] == ["data.bin"] and len(data) == entries[0]["size"], entries
    api.delete(f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/browse")
    return f"kopiur: a browse session is ready, lists {len(listed)} snapshots, and shows a folder and a file of one"


@scenario
def kopiur_restores_from_a_bucket(cluster):
    """ROKOPIA_LIVE_S3 names the program versitygw, a server of S3 on a directory."""
    kopiur_of(cluster)
    program = os.environ.get("ROKOPIA_LIVE_S3")
    if not program:
        raise NotChecked("ROKOPIA_LIVE_S3 names no versitygw")
    root, endpoint = f"{cluster.work}/s3", "127.0.0.1:19100"
    os.makedirs(f"{root}/kopia")
    for folder, _, names in os.walk(cluster.repository):
        for name in names:
            # The name of a blob is that of its folders and its file, which ends in `.f`.
            blob = os.path.relpath(f"{folder}/{name}", cluster.repository).removesuffix(".f").replace("/", "")
            if not name.startswith("."):
                shutil.copy(f"{folder}/{name}", f"{root}/kopia/{blob}")
    log = open(f"{cluster.work}/s3.log", "ab")
    server = subprocess.Popen([program, "--port", endpoint, "--access", "key", "--secret", "secret", "posix", root], stdout=log, stderr=log)
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "KOPIA_PASSWORD": PASSWORD}
    for name, secret in {"bucket": keys, "refused": {**keys, "AWS_SECRET_ACCESS_KEY": "other"}}.items():
        cluster.secret(NAMESPACE, name, secret)
        make("Repository", name, {
            "backend": {"s3": {"bucket": "kopia", "endpoint": endpoint, "region": "us-east-1", "tls": {"disableTls": True},
                               "auth": {"secretRef": {"name": name}}}},
            "encryption": {"passwordSecretRef": {"name": name, "key": "KOPIA_PASSWORD"}}})
    try:
        status = ended(path_of("repositories", "bucket"), ("Ready", "Failed"))
        assert status["phase"] == "Ready", status
        snapshots = [entry for entry in api.items(path_of("snapshots")) if entry.get("status", {}).get("snapshot")]
        identity = {"username": VOLUME, "hostname": HOST, "sourcePath": PATH,
                    "snapshotID": api.get(path_of("restores", "by-policy"))["status"]["resolved"]["kopiaSnapshotID"]}
        make("Restore", "from-bucket", {"repository": {"kind": "Repository", "name": "bucket"}, "source": {"identity": identity},
                                        "target": target("from-bucket")})
        status = ended(path_of("restores", "from-bucket"), ("Completed", "Failed"))
        assert status["phase"] == "Completed" and files(cluster, "from-bucket") == ["data.bin"], status

        def refused():
            conditions = api.get(path_of("repositories", "refused")).get("status", {}).get("conditions", [])
            return next((entry for entry in conditions if entry["status"] == "False"), None)

        reason = api.until("the wrong key is refused", refused, 120)["reason"]
        assert reason == "AccessDenied", reason
    finally:
        server.kill()
        server.wait()
    return f"kopiur: from a bucket {len(snapshots)} snapshots are discovered and one is restored; a wrong key is {reason}"


@scenario
def kopiur_ends(cluster):
    """Its controller listens where others will."""
    kopiur_of(cluster).stop()
    return "kopiur's controller is stopped"
