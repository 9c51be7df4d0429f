"""The steps of continuous training; knows nothing of Airflow or Kubernetes."""
