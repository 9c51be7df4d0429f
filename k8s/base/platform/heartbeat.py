"""Ends with 0 while a job of Airflow in this pod gives signs of life: heartbeat.py JOB_TYPE.

It asks what `airflow jobs check` asks, without importing Airflow: that takes a minute where a node
is busy, and the pod would be killed for it.
"""

import os
import socket
import sys

import psycopg

LIVES = """
SELECT count(*) FROM job
WHERE job_type = %s AND state = 'running' AND split_part(hostname, '.', 1) = %s
AND latest_heartbeat > now() - interval '3 minutes'
"""


def main() -> int:
    """Look once; a database that is away is no reason to begin anew."""
    address = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]  # noqa: TID251 - Airflow's own
    try:
        with psycopg.connect(address.replace("+psycopg", "", 1), connect_timeout=20) as database:
            found = database.execute(LIVES, (sys.argv[1], socket.gethostname())).fetchone()
    except psycopg.OperationalError:
        return 0
    return 0 if found and found[0] else 1


if __name__ == "__main__":
    sys.exit(main())
