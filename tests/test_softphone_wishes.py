"""What `sipconf call` refuses before anybody is called, each in one line."""

import os

import pytest

from sipconf.dial_plan import password_from
from sipconf.softphone import WishError, check_record, keys_of, target_of


@pytest.mark.parametrize(("text", "user", "host", "port", "transport"), [
    ("sip:2001@conf.example.com", "2001", "conf.example.com", None, "udp"),
    ("2001@127.0.0.1:5070", "2001", "127.0.0.1", 5070, "udp"),
    ("2001@[::1]:5070", "2001", "::1", 5070, "udp"),
    ("sips:2001@conf.example.com", "2001", "conf.example.com", None, "tls"),
    ("sip:2001@localhost:5062;transport=tls", "2001", "localhost", 5062, "tls"),
    ("sip:2001*4321@127.0.0.1;transport=TCP", "2001*4321", "127.0.0.1", None, "tcp"),
])  # fmt: skip
def test_addresses_that_can_be_called(text, user, host, port, transport):
    target, found = target_of(text)
    assert (target.user, target.host, target.port, found) == (user, host, port, transport)


@pytest.mark.parametrize("text", ["2001", "sip:", "sip:127.0.0.1", "tel:123", "sip:1@x;transport=ws", ""])
def test_addresses_that_cannot(text):
    with pytest.raises(WishError, match="write it like sip:2001@"):
        target_of(text)


def test_keys():
    assert keys_of("12,#*a") == "12,#*A" and keys_of(None) == ""
    with pytest.raises(WishError) as refused:
        keys_of("4321x")
    assert "4321" not in str(refused.value)


def test_a_recording_that_could_not_be_written(tmp_path):
    check_record(None)
    check_record(tmp_path / "new.wav")
    assert not os.listdir(tmp_path)
    for path in (tmp_path, tmp_path / "none" / "x.wav"):
        with pytest.raises(WishError, match="cannot be written"):
            check_record(path)


@pytest.mark.parametrize(("source", "counts"), [
    ("127.0.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("192.168.1.9", False), ("203.0.113.5", False),
    ("2001:db8::1", False), ("::ffff:192.0.2.1", False), ("", False),
])  # fmt: skip
def test_the_examples_passwords_count_on_this_machine_only(source, counts):
    assert password_from("s3cret-101", source) == ("s3cret-101" if counts else None)
    assert password_from("of-my-own", source) == "of-my-own"
