"""Eight pods that do nothing, one after another, by Airflow's own operator.

It imports nothing of ours: each task's process would pay for it.
"""

from __future__ import annotations

import os

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import DAG, chain
from kubernetes import client

for deferred in (False, True):
    with DAG(
        dag_id=f"airflows_{'deferred' if deferred else 'in_worker'}",
        schedule=None,
        is_paused_upon_creation=False,
    ):
        chain(
            *(
                KubernetesPodOperator(
                    task_id=f"step{number}",
                    namespace=os.environ["PERENNIAL_NAMESPACE"],  # noqa: TID251
                    image=os.environ["PERENNIAL_IMAGE"],  # noqa: TID251
                    config_file=os.environ["KUBECONFIG"],  # noqa: TID251
                    in_cluster=False,
                    cmds=["python3"],
                    arguments=["-c", "pass"],
                    # What `bench/pods.py` gives the others.
                    container_resources=client.V1ResourceRequirements(
                        requests={"cpu": "50m", "memory": "128Mi"}, limits={"memory": "128Mi"}
                    ),
                    # What a restricted namespace wants.
                    security_context={
                        "runAsNonRoot": True,
                        "runAsUser": 1000,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    container_security_context={
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    do_xcom_push=False,
                    deferrable=deferred,
                )
                for number in range(8)
            )
        )
