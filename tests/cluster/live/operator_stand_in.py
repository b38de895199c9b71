"""What VolSync's operator does with a destination, by its documented behaviour.

It creates the Job, sets image, environment, mounts and volumes anew whenever it looks at it, deletes it when the API server says that
a field is immutable, and notes result and log when the Job is over.
"""
import re
import time

import api

STOCK_IMAGE = "quay.io/backube/volsync:0.17.11"
KEPT = ("=== Discovery Mode", "Available Snapshots", "No snapshots found", "Snapshot created successfully", "Snapshot restore completed",
        "Repository connected", "No eligible snapshots")


def path_of(namespace, name):
    return f"/apis/volsync.backube/v1alpha1/namespaces/{namespace}/replicationdestinations/{name}"


def filtered(log):
    """The lines of a log that reach the status."""
    kept = [line for line in log.splitlines()
            if any(word in line.lower() for word in ("error", "failed", "unable to")) or any(text in line for text in KEPT)
            or re.match(r"^[^@]+@[^:]+:.+\s+\d{4}-\d{2}-\d{2}", line) or ('"userName"' in line and '"hostName"' in line)]
    return "\n".join(kept).encode()[-1024:].decode(errors="replace")


def fill(job, destination, direction, image):
    meta, kopia = destination["metadata"], destination["spec"]["kopia"]
    secret = lambda key: {"name": key, "valueFrom": {"secretKeyRef": {"name": kopia["repository"], "key": key}}}
    identity = kopia.get("sourceIdentity", {})
    env = [{"name": "DATA_DIR", "value": "/restore/data"}, {"name": "KOPIA_CACHE_DIR", "value": "/cache"}, secret("KOPIA_PASSWORD"),
           secret("KOPIA_REPOSITORY"), {"name": "KOPIA_OVERRIDE_USERNAME", "value": identity.get("sourceName", meta["name"])},
           {"name": "KOPIA_OVERRIDE_HOSTNAME", "value": identity.get("sourceNamespace", meta["namespace"])}, {"name": "KOPIA_DISCOVER_SNAPSHOTS", "value": "true"},
           {"name": "PRIVILEGED_MOVER", "value": "0"}]
    if kopia.get("enableFileDeletion"):
        env.append({"name": "KOPIA_ENABLE_FILE_DELETION", "value": "true"})
    if "restoreAsOf" in kopia:
        env.append({"name": "KOPIA_RESTORE_AS_OF", "value": kopia["restoreAsOf"]})
    if kopia.get("additionalArgs"):
        env.append({"name": "KOPIA_ADDITIONAL_ARGS", "value": "|VOLSYNC_ARG_SEP|".join(kopia["additionalArgs"])})
    if "volsync.backube/enable-debug-mover" in meta.get("annotations", {}):
        env.append({"name": "DEBUG_MOVER", "value": "1"})
    claim = kopia.get("destinationPVC", f"volsync-{meta['name']}-dest")
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}, {"name": "tempdir", "emptyDir": {"medium": "Memory"}},
               {"name": "restore", "emptyDir": {}}, {"name": "cache", "emptyDir": {"sizeLimit": "8Gi"}}]
    mounts = [("data", "/restore/data"), ("tempdir", "/tmp"), ("restore", "/restore"), ("cache", "/cache")]
    for own in kopia.get("moverVolumes", []):
        volumes.append({"name": f"u-{own['mountPath']}", **own["volumeSource"]})
        mounts.append((f"u-{own['mountPath']}", f"/mnt/{own['mountPath']}"))
    spec = job["spec"]["template"].setdefault("spec", {})
    spec.update(restartPolicy="Never", volumes=volumes, containers=[{
        "name": "kopia", "image": image, "command": ["/mover-kopia/entry.sh"], "args": [direction], "env": env,
        "volumeMounts": [{"name": name, "mountPath": path} for name, path in mounts], "resources": kopia.get("moverResources", {}),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "privileged": False,
                            "readOnlyRootFilesystem": True}}])
    if "moverSecurityContext" in kopia:
        spec["securityContext"] = kopia["moverSecurityContext"]
    # The operator allows eight; each waits longer than the last.
    job["spec"].update(backoffLimit=0, parallelism=0 if destination["spec"].get("paused") else 1)


class Outcome:
    def __init__(self):
        self.updates = self.immutable = 0
        self.result = self.logs = self.image = None


def reconcile(namespace, name, seconds=120, enough=lambda outcome: False, direction="restore", image=STOCK_IMAGE):
    """Looks after the Job of a destination until it is over, or `enough`."""
    jobs, job_name, outcome, end = f"/apis/batch/v1/namespaces/{namespace}/jobs", f"volsync-dst-{name}", Outcome(), time.time() + seconds
    while outcome.result is None and time.time() < end and not enough(outcome):
        destination = api.get(path_of(namespace, name))
        kopia = destination["spec"]["kopia"]
        if "destinationPVC" not in kopia:
            claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": f"volsync-{name}-dest"}, "spec": {
                "accessModes": kopia["accessModes"], "resources": {"requests": {"storage": kopia["capacity"]}}}}
            if not api.exists(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/volsync-{name}-dest"):
                api.post(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims", claim)
        job = api.exists(f"{jobs}/{job_name}")
        labels = {"app.kubernetes.io/created-by": "volsync"}
        try:
            if job is None:
                job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": job_name, "labels": labels},
                       "spec": {"template": {"metadata": {"labels": labels}}}}
                fill(job, destination, direction, image)
                job = api.post(jobs, job)
            else:
                over = {condition["type"] for condition in job.get("status", {}).get("conditions", []) if condition["status"] == "True"}
                fill(job, destination, direction, image)
                job = api.put(f"{jobs}/{job_name}", job)
                outcome.updates += 1
                if over & {"Complete", "Failed"}:
                    outcome.result = "Successful" if "Complete" in over else "Failed"
                    pods = api.items(f"/api/v1/namespaces/{namespace}/pods?labelSelector=job-name%3D{job_name}")
                    outcome.logs = filtered(api.text("GET", f"/api/v1/namespaces/{namespace}/pods/{pods[-1]['metadata']['name']}/log"))
            outcome.image = job["spec"]["template"]["spec"]["containers"][0]["image"]
        except api.Refused as refused:
            if refused.status == 422 and "field is immutable" in refused.message:
                outcome.immutable += 1
                api.delete(f"{jobs}/{job_name}")
            elif refused.status != 409:
                raise
        time.sleep(0.2)
    if outcome.result is not None:
        api.delete(f"{jobs}/{job_name}")
        mover = {"result": outcome.result, "logs": outcome.logs}
        api.merge(path_of(namespace, name) + "/status", {"status": {"latestMoverStatus": mover}})
    return outcome


def populate(node, namespace, name, restored):
    """Gives a claim that waits for its source the volume of the claim that was restored, as the volume populator does."""
    claim = api.get(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}")
    spec, meta = claim["spec"], claim["metadata"]
    reference = {"kind": "PersistentVolumeClaim", "namespace": namespace, "name": name, "uid": meta["uid"]}
    api.post("/api/v1/persistentvolumes", {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"pv-{meta['uid']}"}, "spec": {
        "capacity": spec["resources"]["requests"], "accessModes": spec["accessModes"],
        "hostPath": {"path": node.volume_of(namespace, restored)}, "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": spec.get("storageClassName", ""), "claimRef": reference}})
