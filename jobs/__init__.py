"""Act: wire, schedule, pull, plan, apply, alert; the command line; the settings. Hold no business rule."""
