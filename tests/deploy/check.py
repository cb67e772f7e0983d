"""Checks deploy/ without a cluster: tests/deploy/check runs it with what it needs.

usage: check.py WORK BIN overlays|compose|monitoring|image
"""
import json
import pathlib
import re
import subprocess
import sys

import jsonschema
import kubernetes_validate
import yaml

TOP = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = TOP / "deploy"
KUBERNETES = "1.33"
PARTITIONS = 16
problems = []


def problem(where, what):
    problems.append(f"{where}: {what}")


def output_of(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        problem(words[0], done.stderr.strip() or done.stdout.strip())
    return done.stdout


def name_of(document):
    return f"{document.get('kind')}/{document.get('metadata', {}).get('name')}"


# A definition says what there may be; a slip of the pen in a name is nothing that it knows.
def closed(schema):
    if isinstance(schema, dict):
        schema = {key: closed(value) for key, value in schema.items()}
        if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
        return schema
    return [closed(one) for one in schema] if isinstance(schema, list) else schema


def strimzi_schema(work, document):
    definition = yaml.safe_load((work / "crds" / f"{document['kind']}.yaml").read_text(encoding="utf-8"))
    version = document["apiVersion"].split("/")[1]
    for one in definition["spec"]["versions"]:
        if one["name"] == version:
            schema = closed(one["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            return schema
    raise ValueError(f"no version {version} of {document['kind']}")


def check_form(work, where, document):
    try:
        if document["apiVersion"].startswith("kafka.strimzi.io/"):
            jsonschema.validate(document, strimzi_schema(work, document))
        else:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError, ValueError) as error:
        problem(where, f"{name_of(document)}: {getattr(error, 'message', error)}")


def flags_of(bin_folder, program):
    if program == "buurtlog":
        text = output_of(bin_folder / program, "--help") + output_of(bin_folder / program, "serve", "--help")
    else:  # whose help ends with an error
        text = subprocess.run([bin_folder / program, "--helpfull"], capture_output=True, text=True, check=False).stdout
    return set(re.findall(r"--([a-z][a-z_-]*)", text))


def check_words(bin_folder, where, program, words):
    known = flags_of(bin_folder, program)
    for word in words:
        flag = re.match(r"--([a-z_-]+)", word)
        if flag and flag.group(1) not in known:
            problem(where, f"{program} has no --{flag.group(1)}")


def check_pod(bin_folder, where, document):
    pod = document["spec"]["template"]["spec"]
    name = f"{where}: {name_of(document)}"
    if not pod.get("securityContext", {}).get("runAsNonRoot"):
        problem(name, "may run as root")
    if pod["terminationGracePeriodSeconds"] < 15:
        problem(name, "is killed before it has handed over and drained")
    for spread in pod.get("topologySpreadConstraints", []):
        if not spread["labelSelector"].get("matchLabels"):
            problem(name, "spreads with everybody")
    mounted = {volume["name"] for volume in pod["volumes"]} | {
        claim["metadata"]["name"] for claim in document["spec"].get("volumeClaimTemplates", [])
    }
    for container in pod["containers"]:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if probe not in container:
                problem(name, f"has no {probe}")
        if not container.get("resources", {}).get("requests") or not container["resources"].get("limits"):
            problem(name, "says nothing of what it needs")
        security = container.get("securityContext", {})
        if (
            not security.get("readOnlyRootFilesystem")
            or security.get("allowPrivilegeEscalation") is not False
            or security.get("capabilities", {}).get("drop") != ["ALL"]
        ):
            problem(name, "may do more than it needs")
        image = container["image"].rsplit("/", 1)[-1]
        if ":" not in image or image.endswith(":latest"):
            problem(name, f"image {image} has no version")
        for mount in container["volumeMounts"]:
            if mount["name"] not in mounted:
                problem(name, f"mounts {mount['name']}, which is not there")
        check_words(bin_folder, name, pathlib.Path(container["command"][0]).name, container["args"])


# What a topic must have is what the services check at their start.
def check_topic(where, document):
    code = (TOP / "libs/kafka/kafka_topic.cc").read_text(encoding="utf-8")
    wanted = re.findall(r'\{"([a-z.]+)", [^,]+, "TOPIC_', code)
    for setting in wanted:
        if setting not in document["spec"]["config"]:
            problem(where, f"{name_of(document)} says nothing of {setting}")
    if document["spec"]["partitions"] != PARTITIONS:
        problem(where, f"{name_of(document)} has not {PARTITIONS} partitions")


def selectors_match(where, documents):
    pods = [one["spec"]["template"]["metadata"]["labels"] for one in documents if one["kind"] == "StatefulSet"]
    for document in documents:
        selector = None
        if document["kind"] == "Service":
            selector = document["spec"].get("selector")
        elif document["kind"] in ("StatefulSet", "PodDisruptionBudget"):
            selector = document["spec"]["selector"]["matchLabels"]
        if document["kind"] in ("Service", "StatefulSet", "PodDisruptionBudget"):
            hit = [labels for labels in pods if selector and selector.items() <= labels.items()]
            if len(hit) != 1:
                problem(where, f"{name_of(document)} selects {len(hit)} kinds of pods")
        if document["kind"] == "HorizontalPodAutoscaler":
            target = document["spec"]["scaleTargetRef"]["name"]
            if not any(one["kind"] == "StatefulSet" and one["metadata"]["name"] == target for one in documents):
                problem(where, f"{name_of(document)} scales {target}, which is not there")


def check_overlays(work, bin_folder):
    overlays = sorted(path.parent for path in (DEPLOY / "k8s/overlays").glob("*/kustomization.yaml"))
    if not overlays:
        problem("deploy/k8s", "there are no overlays")
    for overlay in overlays:
        where = f"overlay {overlay.name}"
        documents = [one for one in yaml.safe_load_all(output_of("kubectl", "kustomize", overlay)) if one]
        for document in documents:
            check_form(work, where, document)
            if document["kind"] == "StatefulSet":
                check_pod(bin_folder, where, document)
            if document["kind"] == "KafkaTopic":
                check_topic(where, document)
        selectors_match(where, documents)
        kinds = [document["kind"] for document in documents]
        for kind in ("StatefulSet", "PodDisruptionBudget", "NetworkPolicy", "Kafka", "KafkaTopic", "KafkaUser"):
            if kind not in kinds:
                problem(where, f"has no {kind}")


def check_compose(work, bin_folder):
    file = DEPLOY / "compose.yaml"
    output_of(work / "venv/bin/check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)
    for name, service in yaml.safe_load(file.read_text(encoding="utf-8"))["services"].items():
        if ":" not in service["image"] or service["image"].endswith(":latest"):
            problem("compose", f"{name}: the image has no version")
        if service["image"].startswith("buurtlog"):
            check_words(bin_folder, f"compose {name}", "buurtlog", service["command"])


def check_monitoring():
    alerts = DEPLOY / "monitoring/alerts.yaml"
    output_of("promtool", "check", "rules", alerts)
    dashboard = json.loads((DEPLOY / "monitoring/dashboard.json").read_text(encoding="utf-8"))
    used = "\n".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    for group in yaml.safe_load(alerts.read_text(encoding="utf-8"))["groups"]:
        used += "\n" + "\n".join(rule["expr"] for rule in group["rules"])
    code = "".join(path.read_text(encoding="utf-8") for path in (TOP / "libs").rglob("*.cc"))
    for metric in sorted(set(re.findall(r"buurtlog_\w+", used))):
        if f'"{re.sub("_bucket$", "", metric)}"' not in code:
            problem("monitoring", f"there is no metric {metric}")


def check_image():
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    users = re.findall(r"^USER (\S+)", text, re.MULTILINE)
    if not users or not re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]):
        problem("Dockerfile", "what runs is not a user by number")
    if re.search(r"^FROM (?!\$\{DEBIAN\})", text, re.MULTILINE) or "ARG DEBIAN=debian:12" not in text:
        problem("Dockerfile", "is built from something else than Debian 12")
    presets = (TOP / "CMakePresets.json").read_text(encoding="utf-8")
    if '"release"' not in presets or "--preset release" not in text:
        problem("Dockerfile", "does not build the release preset")


def main():
    work, bin_folder, what = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
    if what == "overlays":
        check_overlays(work, bin_folder)
    elif what == "compose":
        check_compose(work, bin_folder)
    elif what == "monitoring":
        check_monitoring()
    elif what == "image":
        check_image()
    else:
        sys.exit(f"check.py: what is {what}?")
    for one in problems:
        print(one)
    sys.exit(1 if problems else 0)


main()
