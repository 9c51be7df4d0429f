"""The overlay `local`, made fit for a cluster that has less than it wants."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from perennial import dev_volume
from tests.k8s.conftest import WORKLOADS, containers, of

if TYPE_CHECKING:
    from kubernetes.client import CoreV1Api

    from tests.k8s.conftest import Copy, Manifest

PRODUCTS = "/etc/products"


def variable(name: str) -> str:
    """Give what whoever runs the tests says of the cluster."""
    return os.environ.get(f"PERENNIAL_TEST_{name}", "")  # noqa: TID251


@dataclass(frozen=True, slots=True)
class Here:
    """What the cluster of the tests has."""

    dev_image: str
    """The image of `perennial image --dev`, which gets environment and source from volumes."""
    postgres_image: str
    redis_image: str
    has_storage: bool
    """Whether claims get volumes."""

    @classmethod
    def of(cls, core: CoreV1Api) -> Here:
        from kubernetes.client import StorageV1Api

        classes = StorageV1Api(core.api_client).list_storage_class().items
        return cls(
            variable("DEV_IMAGE"),
            variable("POSTGRES_IMAGE"),
            variable("REDIS_IMAGE"),
            bool(classes),
        )

    def fitted(self, copy: Copy, product: str, text: str) -> list[Manifest]:
        """Render `local` with one product, and with what is here."""
        objects = copy.objects("local")
        for name in (copy.platform, copy.tasks):
            objects.append(_products(name, product, text))
        for workload in of(objects, *WORKLOADS):
            spec = workload["spec"]["template"]["spec"]
            if not self.has_storage and workload["spec"].pop("volumeClaimTemplates", None):
                spec["volumes"].append({"name": "data", "emptyDir": {}})
            if workload["metadata"]["name"].startswith("airflow-"):
                spec["volumes"].append(_VOLUME)
            for container in containers(workload):
                self._fit(container)
            if self.dev_image and "perennial" in spec["containers"][0]["image"]:
                spec["volumes"] += self._code()["spec"]["volumes"]
        (settings,) = (o for o in objects if "PERENNIAL_PROFILE" in o.get("data", {}))
        settings["data"]["PERENNIAL_PIPELINES"] = PRODUCTS
        if self.dev_image:
            settings["data"]["PERENNIAL_IMAGE"] = self.dev_image
        (template,) = (o for o in objects if "pod.yaml" in o.get("data", {}))
        template["data"]["pod.yaml"] = yaml.safe_dump(
            self._pod(yaml.safe_load(template["data"]["pod.yaml"]))
        )
        return objects

    def volumes(self, namespaces: tuple[str, ...]) -> list[Manifest]:
        """Give what the thin image's code comes from."""
        if not self.dev_image:
            return []
        return [v for n in namespaces for v in dev_volume.volumes(n, dev_volume.folders())]

    def _code(self) -> Manifest:
        return dev_volume.pod(self.dev_image, dev_volume.folders())

    def _fit(self, container: Manifest) -> None:
        image = container["image"]
        if image.startswith("postgres") and self.postgres_image:
            container["image"] = self.postgres_image
        if image.startswith("redis") and self.redis_image:
            container["image"] = self.redis_image
        if not image.startswith("perennial/"):
            return
        if image.startswith("perennial/airflow") and "envFrom" in container:
            container["volumeMounts"].append(_MOUNT)
        if self.dev_image:
            container["image"] = self.dev_image
            container["volumeMounts"] += self._code()["spec"]["containers"][0]["volumeMounts"]

    def _pod(self, template: Manifest) -> Manifest:
        code = self._code()["spec"] if self.dev_image else {"containers": [{"name": "task"}]}
        (task,) = code["containers"]
        task["env"] = [{"name": "PERENNIAL_PIPELINES", "value": PRODUCTS}]
        task["volumeMounts"] = [*task.get("volumeMounts", ()), _MOUNT]
        volumes = [*code.get("volumes", ()), _VOLUME]
        template["spec"] |= {"containers": [task], "volumes": volumes}
        return template


_VOLUME: dict[str, Any] = {"name": "products", "configMap": {"name": "products"}}
_MOUNT: dict[str, Any] = {"name": "products", "mountPath": PRODUCTS, "readOnly": True}


def _products(namespace: str, name: str, text: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "products", "namespace": namespace},
        "data": {f"{name}.yaml": text},
    }
