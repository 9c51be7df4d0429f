"""One DAG a pipeline whose YAML does not hold: it says so where people look for the product."""

from __future__ import annotations

from airflow.sdk import DAG

from ml_tasks import config

DOC = """\
The YAML of **{name}** does not hold, so that its DAGs are not there:

```
{fault}
```

`perennial config check {name}` says the same; mend the file, and this DAG gives way to them.
"""


def build(name: str, fault: str) -> DAG:
    """Show a fault; there is nothing to run."""
    return DAG(
        dag_id=f"{name}__fault",
        description=fault.splitlines()[0],
        doc_md=DOC.format(name=name, fault=fault),
        tags=["fault"],
        schedule=None,
    )


for one, said in config.load_good()[1].items():
    globals()[f"{one}__fault"] = build(one, said)
