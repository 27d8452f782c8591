"""From where a request came, with and without proxies in front."""

import pytest

from app.ingest.senders import parse_networks, sender_address

PROXIES = "10.0.0.0/8, 192.0.2.7, 2001:db8::/32"


@pytest.mark.parametrize(
    ("peer", "forwarded", "sender"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # no proxy of ours: anybody can write the header
        ("10.1.2.3", [], "10.1.2.3"),
        ("10.1.2.3", ["198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ["198.51.100.66, 198.51.100.1"], "198.51.100.1"),  # the left one is the sender's own claim
        ("10.1.2.3", ["198.51.100.1, 192.0.2.7, 10.9.9.9"], "198.51.100.1"),
        ("10.1.2.3", ["198.51.100.1", "192.0.2.7"], "198.51.100.1"),
        ("10.1.2.3", ["10.4.4.4"], "10.4.4.4"),
        ("10.1.2.3", ["198.51.100.1:4711"], "198.51.100.1"),
        ("2001:db8::1", ["[2a00::5]:443"], "2a00::5"),
        ("::ffff:10.1.2.3", ["2a00::5"], "2a00::5"),
        ("10.1.2.3", ["198.51.100.1, unknown"], "10.1.2.3"),
        ("10.1.2.3", ["<script>"], "10.1.2.3"),
        ("10.1.2.3", ["fe80::1%eth0"], "fe80::1"),
        ("10.1.2.3", ["fe80::1%<script>, 10.9.9.9"], "fe80::1"),  # a zone may be any text
        ("10.1.2.3", ["198.51.100.1%x"], "10.1.2.3"),
        ("testclient", ["198.51.100.1"], "testclient"),
    ],
)
def test_the_right_most_that_is_no_proxy_of_ours(peer: str, forwarded: list[str], sender: str) -> None:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    assert sender_address(peer, headers, parse_networks(PROXIES)) == sender


def test_nothing_is_believed_without_setting() -> None:
    assert sender_address("10.1.2.3", [(b"x-forwarded-for", b"198.51.100.1")], ()) == "10.1.2.3"
