"""What pods need in their namespace before the first task is launched there."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from ml_launch.cluster import refusal
from ml_launch.cluster.job import OWN, PORT, SUBDOMAIN
from urllib3.exceptions import HTTPError

from ml_tasks.errors import BackendError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ml_tasks.config import Environment

SERVER_FAULT = 500
TIMEOUT = 10
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


class Namespace:
    """A namespace, as who sets it up sees it."""

    def __init__(self, name: str) -> None:
        """Find the cluster that KUBECONFIG names.

        Raises:
            ConfigError: None is known here.
        """
        self.name = name
        try:
            config.load_config()
        except ConfigException as fault:
            raise ConfigError(f"no cluster is known here ({fault}); set KUBECONFIG") from fault

    @cached_property
    def _core(self) -> client.CoreV1Api:
        return client.CoreV1Api()

    def prepare(self, environment: Environment) -> None:
        """Make the namespace, the Secret of logins and the service by which pods meet.

        Raises:
            ConfigError: The cluster refuses it; with what it said.
            BackendError: It does not answer.
        """
        space = {"metadata": {"name": self.name, "labels": OWN | RESTRICTED}}
        if not self._there(self._core.read_namespace, self.name):
            self._ask(self._core.create_namespace, space)
        self.put_secret(environment.secret, environment.secret_variables())
        service = {
            "metadata": {"name": SUBDOMAIN, "labels": OWN},
            "spec": {
                "clusterIP": "None",
                "publishNotReadyAddresses": True,
                "selector": {"perennial/distributed": "true"},
                "ports": [{"name": "torchrun", "port": PORT}],
            },
        }
        if not self._there(self._core.read_namespaced_service, SUBDOMAIN, self.name):
            self._ask(self._core.create_namespaced_service, self.name, service)

    def put_secret(self, name: str, entries: Mapping[str, str]) -> None:
        """Write a Secret: a new one, or in the place of the one that is there."""
        body = {"metadata": {"name": name, "labels": OWN}, "stringData": dict(entries)}
        if self._there(self._core.read_namespaced_secret, name, self.name):
            self._ask(self._core.replace_namespaced_secret, name, self.name, body)
        else:
            self._ask(self._core.create_namespaced_secret, self.name, body)

    def delete_secret(self, name: str) -> None:
        """Remove a Secret; one that is gone is no fault."""
        if self._there(self._core.read_namespaced_secret, name, self.name):
            self._ask(self._core.delete_namespaced_secret, name, self.name)

    def _there(self, read: Callable[..., Any], *which: str) -> bool:
        try:
            self._ask(read, *which)
        except _RefusedError as fault:
            if fault.status == refusal.NOT_FOUND:
                return False
            raise
        return True

    def _ask(self, call: Callable[..., Any], *told: Any) -> None:
        try:
            call(*told, _request_timeout=TIMEOUT)
        except ApiException as fault:
            if fault.status and fault.status < SERVER_FAULT:
                raise _RefusedError(fault.status, refusal.said(fault.body, fault.reason)) from fault
            raise BackendError(f"the Kubernetes API does not answer: {fault.reason}") from fault
        except HTTPError as fault:
            raise BackendError(f"the Kubernetes API does not answer: {fault}") from fault


class _RefusedError(ConfigError):
    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"the Kubernetes API refused ({status}): {said}")
        self.status = status
