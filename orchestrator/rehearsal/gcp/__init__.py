"""Google Cloud in a rehearsal: BigQuery, Cloud Storage, Cloud Run, IAM, and who its callers are."""
