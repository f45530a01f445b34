-- Hail reports in one county and one month of the year, over all years.
-- Parameters: state and county (STRING, any case), month (INT64, 1 to 12).
-- LOWER and UPPER, because the spelling of names differs between the years' tables.
SELECT
  event_begin_time,
  magnitude,
  EXTRACT(MONTH FROM event_begin_time) AS month
FROM
  `bigquery-public-data.noaa_historic_severe_storms.storms_*`
WHERE
  LOWER(event_type) = 'hail'
  AND UPPER(state) = UPPER(@state)
  AND UPPER(cz_name) = UPPER(@county)
  AND EXTRACT(MONTH FROM event_begin_time) = @month
