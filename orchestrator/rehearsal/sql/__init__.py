"""BigQuery's SQL for the rehearsal: checked, typed, and computed by DuckDB."""
