"""Sells tickets: reads a name from each line of its input, and answers with a ticket's number and its price."""

import os
import sqlite3
import sys

price = os.environ.get("PRICE", "25")
sold = sqlite3.connect("/data/tickets.db", timeout=60)
sold.execute("create table if not exists tickets (number integer primary key, name text)")
sold.commit()

for line in sys.stdin:
    name = line.strip()
    with sold:
        number = sold.execute("insert into tickets (name) values (?)", [name]).lastrowid
    print(f"{name}: ticket {number} for {price}", flush=True)
