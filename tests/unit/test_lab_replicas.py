"""What lab 03 reads: the number and the price of a ticket, and whose it is."""

import importlib.util

import pytest

from boxlab import paths
from boxlab.labs import Mismatch

_spec = importlib.util.spec_from_file_location("lab_03", paths.LABS / "03-replicas" / "checks.py")
lab_03 = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lab_03)


@pytest.mark.parametrize("price", ["25", "25.50", "€25"])
def test_a_ticket_is_read_with_its_price(price):
    assert lab_03.sold("Ada-1", f"Ada-1: ticket 12 for {price}\r") == (12, price)


@pytest.mark.parametrize(
    "line", ["", "Ada: ticket 1 for 25", "Ada-1: ticket one for 25", "Ada-1: ticket 1 for 25 each"]
)
def test_another_form_or_anothers_ticket_is_told(line):
    with pytest.raises(Mismatch):
        lab_03.sold("Ada-1", line)
