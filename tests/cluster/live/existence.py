"""The manifests are accepted, and the existence service runs."""
import json
import os
import subprocess
import time

import api
from cluster import DEPLOY, PASSWORD, TEMPLATE, NotChecked, is_ready, scenario


@scenario
def every_kustomization_is_accepted(cluster):
    count = 0
    for folder, _, files in sorted(os.walk(DEPLOY)):
        if "kustomization.yaml" not in files:
            continue
        text = cluster.kubectl.kustomize(folder)
        if "kind: Component" in open(f"{folder}/kustomization.yaml").read() or not text.strip():
            continue
        cluster.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", text=text)
        count += 1
    assert count > 8, count
    return f"{count} kustomizations of deploy/ are accepted by the API server"


@scenario
def every_option_of_the_chart_is_accepted(cluster):
    """.ci/manifests installs Helm's engine."""
    python, folder = f"{DEPLOY}/../target/manifest-tools/bin/python", f"{cluster.work}/chart"
    if not os.path.exists(python) or subprocess.run([python, "-c", "import helm_python"], capture_output=True).returncode != 0:
        raise NotChecked("Helm's engine is not installed: .ci/manifests does it")
    os.makedirs(folder)
    subprocess.run([python, f"{DEPLOY}/check_chart.py", folder], check=True, capture_output=True)
    renderings = sorted(os.listdir(folder))
    for name in renderings:
        text = open(f"{folder}/{name}").read()
        if text.count("\n") > 2:
            cluster.kubectl("apply", "--server-side", "--dry-run=server", "-n", "volsync-system", "-f", "-", text=text)
    assert len(renderings) > 20, renderings
    return f"{len(renderings)} renderings of the chart are accepted by the API server"


@scenario
def the_existence_service_gets_ready_and_answers(cluster):
    cluster.secret("volsync-system", "pvc-plumber-kopia", {"KOPIA_PASSWORD": PASSWORD})
    text = cluster.kubectl.kustomize(f"{DEPLOY}/existence")
    first = "        env:\n"
    assert text.count(first) == 1, text
    cluster.kubectl.apply(text.replace(first, first + f"        - name: ROKOPIA_SOURCE_TEMPLATE\n          value: '{TEMPLATE}'\n"))
    pods = lambda: cluster.pods("volsync-system", "app.kubernetes.io/name=rokopia-exists")
    api.until("both pods are ready", lambda: sum(map(is_ready, pods())) == 2)
    container = next(started for started in cluster.node.started if "rokopia-exists" in started.name)
    answer = json.loads(container.ask("/exists/night-03/volume-00003", 8080) or "{}")
    assert answer.get("exists") is True, answer
    answer = json.loads(container.ask("/exists/night-03/nothing", 8080) or "{}")
    assert answer.get("exists") is False, answer
    return "2 pods of the existence service are ready as user 568 and tell a backup from none"


@scenario
def a_storage_that_goes_away_leaves_the_service_ready(cluster):
    container = next(started for started in cluster.node.started if "rokopia-exists" in started.name)
    os.rename(cluster.repository, cluster.repository + ".away")
    os.mkdir(cluster.repository, 0o700)
    try:
        time.sleep(12)
        pods = cluster.pods("volsync-system", "app.kubernetes.io/name=rokopia-exists")
        assert all(map(is_ready, pods)), pods
        answer = json.loads(container.ask("/exists/night-03/volume-00003", 8080) or "{}")
        assert answer.get("exists") is not False, answer
    finally:
        os.rmdir(cluster.repository)
        os.rename(cluster.repository + ".away", cluster.repository)
    return "with the storage away the pods stay ready and no backup is denied"
