"""Nights as an Airflow DAG: put it into the DAGs folder of a machine that has notemill.

Run by us with Airflow 3.3.2 (`airflow dags test notemill_nightly`); our tests do not install it. Before
Airflow 3 the operator needs the package apache-airflow-providers-standard.
`skip_on_exit_code`: the time was over and the rest is left for the next run, which is no failure.
"""

from __future__ import annotations

import pendulum
from airflow import DAG
from airflow.providers.standard.operators.bash import BashOperator

with DAG(
    dag_id="notemill_nightly",
    schedule="0 22 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["notemill"],
) as dag:
    BashOperator(
        task_id="night",
        bash_command="/opt/notemill/.venv/bin/notemill nightly /srv/notemill/archive.toml --quiet"
        " --until 06:00",
        env={"NOTEMILL_HOME": "/srv/notemill"},
        append_env=True,
        skip_on_exit_code=75,
        # It goes on by itself where it stopped; a second try helps where a database was away for a moment.
        retries=1,
        retry_delay=pendulum.duration(minutes=5),
    )
