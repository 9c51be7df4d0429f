\getenv airflow AIRFLOW_PASSWORD
\getenv mlflow MLFLOW_PASSWORD
\getenv control CONTROL_PASSWORD
\getenv catalog CATALOG_PASSWORD
\getenv feast FEAST_PASSWORD
CREATE ROLE airflow LOGIN PASSWORD :'airflow';
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow';
CREATE ROLE control LOGIN PASSWORD :'control';
CREATE ROLE catalog LOGIN PASSWORD :'catalog';
CREATE ROLE feast LOGIN PASSWORD :'feast';
CREATE DATABASE airflow OWNER airflow;
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE control OWNER control;
CREATE DATABASE catalog OWNER catalog;
CREATE DATABASE feast OWNER feast;
REVOKE ALL ON DATABASE airflow, mlflow, control, catalog, feast FROM PUBLIC;
