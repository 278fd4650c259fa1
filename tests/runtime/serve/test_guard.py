"""Who may ask for what, and how often."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgepack.runtime.errors import DeniedError, InputError, MissingFileError, OverloadedError
from edgepack.runtime.serve import guard as guards
from edgepack.runtime.serve.guard import Guard, read_tokens
from edgepack.runtime.serve.settings import Limits, Settings

READ, ADMIN = "r" * 16, "a" * 40


class Clock:
    """Seconds that pass when the test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


Written = Callable[[str], Path]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Write a file of tokens that only we can read."""

    def write(text: str) -> Path:
        path = tmp_path / "tokens.toml"
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path

    return write


@pytest.fixture
def guard(written: Written, clock: Clock) -> Guard:
    file = written(f'read = ["{READ}", "{"s" * 16}"]\nadmin = ["{ADMIN}"]\n')
    return Guard(Settings("models", token_file=str(file)), clock=clock)


@pytest.mark.parametrize("kind", ["open", "read", "admin"])
@pytest.mark.parametrize("token", [None, "whatever"])
def test_without_a_file_of_tokens_everything_passes(kind: str, token: str | None) -> None:
    Guard(Settings("models")).check(kind, token, "127.0.0.1")


@pytest.mark.parametrize(
    ("kind", "token"),
    [("open", None), ("open", "wrong"), ("read", READ), ("read", "s" * 16), ("read", ADMIN), ("admin", ADMIN)],
)
def test_the_right_token_passes(guard: Guard, kind: str, token: str | None) -> None:
    guard.check(kind, token, "127.0.0.1")


@pytest.mark.parametrize("kind", ["read", "admin"])
@pytest.mark.parametrize(
    ("token", "told"),
    [
        (None, "wants a token"), ("", "not known"), (READ[:-1], "not known"), (READ + "r", "not known"),
        ("é" * 16, "not known"), ("\ud800", "not known"), ("x" * 100_000, "not known"),
    ],
    ids=["none", "empty", "shorter", "longer", "letters", "surrogate", "huge"],
)  # fmt: skip
def test_a_wrong_token_is_denied_without_a_word_of_the_right_one(
    guard: Guard, kind: str, token: str | None, told: str
) -> None:
    with pytest.raises(DeniedError, match=told) as caught:
        guard.check(kind, token, "127.0.0.1")
    assert not caught.value.is_known
    assert READ not in str(caught.value)


def test_a_reader_may_change_nothing(guard: Guard) -> None:
    with pytest.raises(DeniedError, match="may read and infer, but not change") as caught:
        guard.check("admin", READ, "127.0.0.1")
    assert caught.value.is_known


def test_every_token_is_compared_whichever_is_right(monkeypatch: pytest.MonkeyPatch, written: Written) -> None:
    tokens = read_tokens(written(f'read = ["{READ}", "{"s" * 16}"]\nadmin = ["{ADMIN}"]\n'))
    compared: list[int] = []
    compare = guards.hmac.compare_digest
    monkeypatch.setattr(guards.hmac, "compare_digest", lambda *two: compared.append(0) or compare(*two))
    counts = []
    for token in (READ, "s" * 16, ADMIN, "wrong"):
        compared.clear()
        tokens.may(token)
        counts.append(len(compared))
    assert counts == [3, 3, 3, 3]


def test_tokens_are_not_kept_as_text(written: Written) -> None:
    assert READ not in repr(read_tokens(written(f'read = ["{READ}"]\n')))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no token"),
        ("read = []\nadmin = []\n", "holds no token"),
        ('read = [""]\n', "token 1 of read has 0 characters"),
        (f'read = ["{READ}"]\nadmin = ["{"a" * 15}"]\n', "token 1 of admin has 15 characters; it takes 16 or more"),
        (f'read = ["{"é" * 20}"]\n', "ASCII and no spaces"),
        (f'read = ["{"a b" * 20}"]\n', "ASCII and no spaces"),
        (f'read = "{READ}"\n', "read is no list of texts"),
        ("read = [1]\n", "read is no list of texts"),
        (f'reed = ["{READ}"]\n', "unknown key 'reed'; it takes read and admin"),
        (f'read = ["{READ}]\n', "is no TOML"),
    ],
    ids=["nothing", "empty-lists", "empty", "short", "letters", "spaces", "text", "number", "key", "no-toml"],
)
def test_a_file_that_keeps_nobody_out_is_refused(written: Written, text: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        read_tokens(written(text))
    assert READ not in str(caught.value)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602])
def test_a_file_that_everyone_can_read_is_refused(written: Written, mode: int) -> None:
    path = written(f'read = ["{READ}"]\n')
    path.chmod(mode)
    with pytest.raises(InputError, match=f"everyone on this machine can .*mode {mode:o}.*chmod o= "):
        read_tokens(path)


def test_a_group_may_read_the_file(written: Written) -> None:
    path = written(f'read = ["{READ}"]\n')
    path.chmod(0o440)
    assert read_tokens(path).read


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no file of tokens"):
        Guard(Settings("models", token_file=str(tmp_path / "lost")))


def test_a_changed_file_holds_within_a_second(written: Written, guard: Guard, clock: Clock) -> None:
    written(f'read = ["{"n" * 20}"]\n')
    guard.check("read", READ, "127.0.0.1")
    clock.now += 1
    with pytest.raises(DeniedError):
        guard.check("read", READ, "127.0.0.1")
    guard.check("read", "n" * 20, "127.0.0.1")


def test_a_file_swapped_for_another_holds_too(written: Written, guard: Guard, clock: Clock, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(f'read = ["{"n" * 16}", "{"s" * 16}"]\nadmin = ["{ADMIN}"]\n', encoding="utf-8")
    other.chmod(0o600)
    stamp = (tmp_path / "tokens.toml").stat()
    os.utime(other, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    other.replace(tmp_path / "tokens.toml")
    clock.now += 1
    guard.check("read", "n" * 16, "127.0.0.1")


@pytest.mark.parametrize("text", ["", "read = [\n"], ids=["empty", "half"])
def test_a_bad_change_leaves_the_tokens_of_before(
    written: Written, guard: Guard, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    written(text)
    guard.refresh(force=True)
    guard.check("read", READ, "127.0.0.1")
    assert "the tokens of before hold on" in caplog.text


def test_an_address_is_held_to_its_rate_and_told_when_to_come_again(clock: Clock) -> None:
    guard = Guard(Settings("models", limits=Limits(rate_per_s=5)), clock=clock)
    for _ in range(5):
        guard.check("read", None, "10.0.0.1")
    with pytest.raises(OverloadedError, match="more than 5 requests a second") as caught:
        guard.check("read", None, "10.0.0.1")
    assert caught.value.retry_after_s == pytest.approx(0.2)
    guard.check("read", None, "10.0.0.2")
    guard.check("open", None, "10.0.0.1")
    clock.now += 0.2
    guard.check("read", None, "10.0.0.1")
    with pytest.raises(OverloadedError):
        guard.check("read", None, "10.0.0.1")


def test_a_rate_below_one_is_kept_on_average(clock: Clock) -> None:
    guard = Guard(Settings("models", limits=Limits(rate_per_s=0.1)), clock=clock)
    passed = 0
    for _ in range(1000):
        clock.now += 0.1
        try:
            guard.check("read", None, "10.0.0.1")
            passed += 1
        except OverloadedError:
            pass
    assert 10 <= passed <= 11


def test_guessing_tokens_is_held_to_the_rate_too(written: Written, clock: Clock) -> None:
    file = written(f'read = ["{READ}"]\n')
    guard = Guard(Settings("models", token_file=str(file), limits=Limits(rate_per_s=1)), clock=clock)
    with pytest.raises(DeniedError):
        guard.check("read", "guess", "10.0.0.1")
    with pytest.raises(OverloadedError):
        guard.check("read", "guess", "10.0.0.1")


def test_one_network_of_ipv6_is_one_address(clock: Clock) -> None:
    guard = Guard(Settings("models", limits=Limits(rate_per_s=1)), clock=clock)
    guard.check("read", None, "2001:db8:0:1::1")
    with pytest.raises(OverloadedError):
        guard.check("read", None, "2001:db8:0:1:ffff::2")
    guard.check("read", None, "2001:db8:0:2::1")


def test_addresses_without_end_take_no_memory_without_end(clock: Clock) -> None:
    guard = Guard(Settings("models", limits=Limits(rate_per_s=1)), clock=clock)
    for index in range(3 * guards._ADDRESSES):
        guard.check("read", None, f"10.0.{index // 256}.{index % 256}")
    assert len(guard._buckets) == guards._ADDRESSES
