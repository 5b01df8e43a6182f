"""JobSinks: a Job for each event."""
