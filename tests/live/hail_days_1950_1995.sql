-- config/queries/hail_days.sql, over the years whose answer is known: no later report changes it.
SELECT
  event_begin_time,
  magnitude,
  EXTRACT(MONTH FROM event_begin_time) AS month
FROM
  `bigquery-public-data.noaa_historic_severe_storms.storms_*`
WHERE
  _TABLE_SUFFIX BETWEEN '1950' AND '1995'
  AND LOWER(event_type) = 'hail'
  AND UPPER(state) = UPPER(@state)
  AND UPPER(cz_name) = UPPER(@county)
  AND EXTRACT(MONTH FROM event_begin_time) = @month
