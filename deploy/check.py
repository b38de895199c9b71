#!/usr/bin/env python3
"""Checks rendered manifests, from stdin: against the schemas of Kubernetes, and custom resources against schemas here.

    kubectl kustomize deploy/existence | deploy/check.py
"""
import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

KUBERNETES = "1.31"
SCHEMAS = pathlib.Path(__file__).parent / "schemas.json"


def main():
    custom = json.loads(SCHEMAS.read_text())
    manifests = [manifest for manifest in yaml.safe_load_all(sys.stdin) if manifest]
    wrong = 0
    for manifest in manifests:
        version, kind = manifest["apiVersion"], manifest["kind"]
        name = f"{version} {kind} {manifest['metadata']['name']}"
        try:
            if f"{version}/{kind}" in custom["properties"]:
                jsonschema.validate({f"{version}/{kind}": manifest}, custom)
            else:
                kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
            print(f"ok: {name}")
        except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
            wrong += 1
            print(f"wrong: {name}: {error}", file=sys.stderr)
    print(f"{len(manifests) - wrong} passed, {wrong} failed")
    return 1 if wrong or not manifests else 0


if __name__ == "__main__":
    sys.exit(main())
