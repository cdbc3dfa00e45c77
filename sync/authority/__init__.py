"""Who decides: records by function, service line, category and date, and what holds where nobody recorded it."""
