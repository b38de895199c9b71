"""Restore Jobs and the nightly verification."""
import os
import re
import time

import api
import operator_stand_in as operator
from cluster import DEPLOY, PASSWORD, destination, restored, scenario


@scenario
def the_admission_policy_gives_restores_to_rokopia(cluster):
    cluster.kubectl.apply(cluster.kubectl.kustomize(f"{DEPLOY}/volsync/admission-policy"))
    destination(cluster, "apps", "one", "volume-00001", "night-01")
    # A policy is in force a moment after it is stored.
    time.sleep(3)
    outcome = operator.reconcile("apps", "one")
    assert outcome.result == "Successful", f"{outcome.result} {outcome.logs}"
    assert "rokopia" in outcome.image and outcome.immutable == 0 and outcome.updates > 0, vars(outcome)
    assert restored(cluster, "apps", "one") == ["data.bin"], restored(cluster, "apps", "one")
    status = api.get(operator.path_of("apps", "one"))["status"]["latestMoverStatus"]
    assert "Snapshot restore completed" in status["logs"], status
    return f"a restore Job gets the image and the export, {outcome.updates} updates of the operator are accepted, the data is there"


@scenario
def a_failed_restore_says_why_in_the_status(cluster):
    destination(cluster, "apps", "strict", "nobody", "night-01", additionalArgs=["--rokopia-strict"])
    outcome = operator.reconcile("apps", "strict")
    assert outcome.result == "Failed", vars(outcome)
    assert "nobody" in outcome.logs, outcome.logs
    assert restored(cluster, "apps", "strict") == []
    return "a strict restore of an unknown source fails, the status names it, and the volume stays empty"


@scenario
def the_nightly_verification_is_clean(cluster):
    cluster.secret("apps", "kopia-repository-verify", {"KOPIA_PASSWORD": PASSWORD})
    text = cluster.kubectl.kustomize(f"{DEPLOY}/verify").replace("name: kopia-repository", "name: kopia-repository-verify")
    namespace = re.search(r"^  namespace: (\S+)", text, re.M)
    namespace = namespace[1] if namespace else "default"
    if namespace != "apps":
        cluster.namespace(namespace)
        cluster.secret(namespace, "kopia-repository-verify", {"KOPIA_PASSWORD": PASSWORD})
    cluster.kubectl("apply", "--server-side", "-n", namespace, "-f", "-", text=text)
    cluster.kubectl("create", "job", "now", "--from=cronjob/rokopia-verify", "-n", namespace)

    def over():
        conditions = api.get(f"/apis/batch/v1/namespaces/{namespace}/jobs/now").get("status", {}).get("conditions", [])
        return {entry["type"] for entry in conditions if entry["status"] == "True"} & {"Complete", "Failed"}

    ended = api.until("the verification ends", over)
    container = next(started for started in cluster.node.started if "/now-" in started.name)
    assert "Complete" in ended, container.log()
    state = cluster.node.volume_of(namespace, "rokopia-verify")
    assert {"ledger", "report.json", "rokopia_verify.prom"} <= set(os.listdir(state)), os.listdir(state)
    return "the CronJob's Job ends as Complete, with ledger, report and metrics in its claim"
