"""What users see inside the UI of Airflow."""
