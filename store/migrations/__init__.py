"""Schema history. Alembic runs these files; `Database.migrate` is the way in."""
