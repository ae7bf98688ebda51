"""What has to fit together in the manifests of Kubernetes, and between them and the gateway. Reads the built ones."""
import pathlib
import sys
import tomllib

import yaml

root = pathlib.Path(__file__).resolve().parents[2]
objects = {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(open(sys.argv[1]))}
deployment = objects["Deployment", "haat"]["spec"]
pod = deployment["template"]
spec = pod["spec"]
(container,) = spec["containers"]
ports = {port["name"]: port["containerPort"] for port in container["ports"]}
settings = next(one for (kind, _), one in objects.items() if kind == "ConfigMap")
toml = tomllib.loads(settings["data"]["haat.toml"])
environment = {one["name"]: one for one in container["env"]}
wrong = []


def check(what, holds):
    if not holds:
        wrong.append(what)


# --- leaving ---
pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
check("the grace holds the pause, the drain and a margin", spec["terminationGracePeriodSeconds"] >= pause + toml["drain_seconds"] + 10)
readiness = container["readinessProbe"]
check("the pause outlasts a readiness that goes off", pause >= readiness["periodSeconds"] * readiness["failureThreshold"])
check("readiness asks for Redis too", readiness["httpGet"]["path"] == "/readyz")
check("liveness asks for the process alone", container["livenessProbe"]["httpGet"]["path"] == "/healthz")

# --- the ports are those of the image ---
image = (root / "docker/Dockerfile").read_text()
check("the image exposes them", f"EXPOSE {ports['public']} {ports['private']} {ports['peer']}" in image)
check("private port", environment["HAAT_PRIVATE_LISTEN"]["value"] == f"0.0.0.0:{ports['private']}")
check("peer port", environment["HAAT_PEER_LISTEN"]["value"] == f"0.0.0.0:{ports['peer']}")
check("others are told the pod's address", environment["HAAT_PEER_ADDRESS"]["valueFrom"]["fieldRef"]["fieldPath"] == "status.podIP")
check("secrets come from the secret", container["envFrom"] == [{"secretRef": {"name": "haat"}}])
check("no secret is in a manifest", all(kind != "Secret" for kind, _ in objects))
check("the settings are those of the map", spec["volumes"][0]["configMap"]["name"] == settings["metadata"]["name"])
for kind, name in objects:
    for port in objects[kind, name]["spec"].get("ports", []) if kind == "Service" else []:
        check(f"{name} leads to {port['targetPort']}", port["targetPort"] in ports)
check("the public service leads to clients alone", [port["targetPort"] for port in objects["Service", "haat"]["spec"]["ports"]] == ["public"])

# --- everything means the same pods ---
labels = pod["metadata"]["labels"].items()
selectors = [
    deployment["selector"]["matchLabels"],
    objects["Service", "haat"]["spec"]["selector"],
    objects["Service", "haat-pods"]["spec"]["selector"],
    objects["PodDisruptionBudget", "haat"]["spec"]["selector"]["matchLabels"],
    objects["NetworkPolicy", "haat"]["spec"]["podSelector"]["matchLabels"],
    spec["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
]
check("every selector selects the pods", all(selector and selector.items() <= labels for selector in selectors))

# --- what a gateway may do ---
security = container["securityContext"]
check("it is not root", spec["securityContext"]["runAsNonRoot"] and f"USER {spec['securityContext']['runAsUser']}:" in image)
check("its root is read-only", security["readOnlyRootFilesystem"])
check("it has no capabilities", security["capabilities"] == {"drop": ["ALL"]} and not security["allowPrivilegeEscalation"])
check("it is limited", {"cpu", "memory"} <= container["resources"]["limits"].keys())

# --- how many there are ---
scaler = objects["HorizontalPodAutoscaler", "haat"]["spec"]
check("the scaler alone says how many", "replicas" not in deployment and scaler["minReplicas"] >= 3)
(metric,) = [one["pods"] for one in scaler["metrics"] if one["type"] == "Pods"]
sources = "".join(path.read_text() for path in (root / "server/src").rglob("*.rs"))
check("the gateway has that metric", f'"{metric["metric"]["name"]}"' in sources)
check("it scales before a gateway is full", int(metric["target"]["averageValue"]) <= toml["limits"]["connections"] / 2)

print("\n".join(f"docker/k8s: not so: {what}" for what in wrong) or f"manifests: {len(objects)} objects checked")
sys.exit(bool(wrong))
