"""A small program with a package that has to be compiled: psycopg2, which speaks to a PostgreSQL database."""

from psycopg2.extensions import QuotedString

VERSION = "1"

print(f"version {VERSION}:", QuotedString("O'Reilly").getquoted().decode())
