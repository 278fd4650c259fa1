"""A folder of models that is served while it changes: good versions take over, bad ones never, and nothing is lost."""

import asyncio
import os
import resource
import shutil
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edgepack.runtime.errors import (
    ConflictError,
    DeadlineError,
    EngineError,
    MissingFileError,
    NotReadyError,
    NotServedError,
    PackError,
    UnknownNameError,
)
from edgepack.runtime.pack import write_pack
from edgepack.runtime.serve.messages import InferRequest
from edgepack.runtime.serve.opened import open_served
from edgepack.runtime.serve.push import push, rollback
from edgepack.runtime.serve.served import Served
from edgepack.runtime.serve.settings import BatchSettings, ModelSettings
from edgepack.runtime.serve.state import FILE, ModelState, StateFile
from tests.runtime.serve.folders import BAD, Server, numbered, put, sound
from tests.zoo import packs


def run(story: Callable[[], Awaitable[None]], seconds: float = 50) -> None:
    """Tell a story in an event loop of its own."""

    async def told() -> None:
        async with asyncio.timeout(seconds):
            await story()

    asyncio.run(told())


class Slowly:
    """An opener that takes its time and counts."""

    def __init__(self, seconds: float = 0.2) -> None:
        self.seconds, self.opened = seconds, []  # type: tuple[float, list[tuple[str, str]]]

    def __call__(self, path: Path, name: str, version: str, settings: ModelSettings) -> Served:
        self.opened.append((name, version))
        time.sleep(self.seconds)
        return open_served(path, name, version, settings)


def test_the_highest_version_answers_compared_as_numbers(tmp_path: Path) -> None:
    async def story() -> None:
        for version in (2, 9, 10):
            put(tmp_path, "m", version)
        async with Server(tmp_path) as server:
            assert server.plane.ready()
            assert await server.ask() == "10"
            assert server.states() == {"2": "UNAVAILABLE", "9": "UNAVAILABLE", "10": "READY"}
            assert server.causes() == {"2": "not served", "9": "not served", "10": ""}
            assert server.repository.versions("m") == ("10",)
        assert server.metrics.ready == server.metrics.gone == [("m", "10")]

    run(story)


def test_all_forms_of_a_folder_are_served(tmp_path: Path) -> None:
    async def story() -> None:
        write_pack(tmp_path / "flat.edgepack", *packs.tiles())
        write_pack(f"{tmp_path}/whole.edgepack/", *numbered(1))
        (tmp_path / "inside" / "3").mkdir(parents=True)
        (tmp_path / "inside" / "3" / "any.edgepack").write_bytes(sound(3))
        async with Server(tmp_path) as server:
            assert await server.ask("inside") == "3"
            assert await server.ask("whole") == "1"
            given, wanted = packs.outputs("tiles")
            answer = await server.plane.infer(InferRequest("flat", {"image": given["image"]}))
            assert abs(answer.outputs["scores"] - wanted["scores"]).max() < packs.TOLERANCE

    run(story)


@pytest.mark.parametrize(
    ("versions", "expected"),
    [(2, {"3", "2"}), ("all", {"1", "2", "3"}), (("1", "2"), {"1", "2"})],
    ids=["2", "all", "listed"],
)
def test_the_version_policy_says_which_are_loaded(tmp_path: Path, versions: Any, expected: set[str]) -> None:
    async def story() -> None:
        for version in (1, 2, 3):
            put(tmp_path, "m", version)
        async with Server(tmp_path, versions=versions) as server:
            assert set(server.repository.versions("m")) == expected
            for version in expected:
                assert await server.ask(version=version) == version
            assert await server.ask() == max(expected)
            for version in {"1", "2", "3"} - expected:
                with pytest.raises(NotServedError, match="not served"):
                    await server.ask(version=version)

    run(story)


def test_names_that_are_not_there_are_told_with_those_that_are(tmp_path: Path) -> None:
    async def story() -> None:
        put(tmp_path, "m", 1)
        async with Server(tmp_path) as server:
            for name in ("n", "", "../m", "m/1", str(tmp_path)):
                with pytest.raises(NotServedError, match="served: m"):
                    await server.ask(name)
            for version in ("2", "x", "../1", "01", "1.edgepack"):
                with pytest.raises(NotServedError, match=r"no version .*there are: 1"):
                    await server.ask(version=version)
            with pytest.raises(NotServedError, match="no label 'canary'"):
                await server.ask(version="canary")

    run(story)


def test_the_rows_that_wait_are_counted(tmp_path: Path) -> None:
    async def story() -> None:
        put(tmp_path, "m", 1)
        batch = BatchSettings(max_rows=4, max_delay_ms=20)
        async with Server(tmp_path, model={"m": ModelSettings(batch=batch)}) as server:
            assert await asyncio.gather(server.ask(), server.ask()) == ["1", "1"]
            assert max(server.metrics.waiting) == ("m", "1", 2)  # they waited for company
            assert server.metrics.waiting[-1] == ("m", "1", 0)

    run(story)


def test_a_folder_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    async def story() -> None:
        with pytest.raises(MissingFileError, match="no folder of models"):
            await Server(tmp_path / "no").repository.start()

    run(story)


def test_hundreds_of_requests_across_swaps_and_bad_versions_all_get_right_answers(tmp_path: Path) -> None:
    async def story() -> None:
        put(tmp_path, "m", 1)
        async with Server(tmp_path, drain_s=5) as server:
            answers: list[str] = []
            done = asyncio.Event()

            async def client() -> None:
                while not done.is_set():
                    answers.append(await server.ask())
                    await asyncio.sleep(0)

            clients = [asyncio.create_task(client()) for _ in range(4)]
            for version, bad in enumerate([*BAD, ""], 2):
                if bad:
                    (tmp_path / "m" / f"{version + 100}.edgepack").write_bytes(BAD[bad](version))
                put(tmp_path, "m", version)
                await server.until(partial(server.answers_with, str(version)))
            await server.until(lambda: len(server.metrics.refused) == len(BAD))
            done.set()
            await asyncio.gather(*clients)
            taken = list(dict.fromkeys(answers))
            assert taken == ["1", "2", "3", "4", "5", "6", "7"]
            assert answers == sorted(answers), "a swap is one step: nobody sees the old version after the new one"
            assert len(answers) > 300
            assert all(int(version) < 100 for _, version in server.metrics.ready)
            assert [golden for _, _, golden in server.metrics.refused].count(True) == 1

    run(story)


@pytest.mark.slow
def test_two_minutes_of_a_new_version_each_second_fail_no_request(tmp_path: Path) -> None:
    async def story() -> None:
        put(tmp_path, "m", 1)
        kinds = list(BAD)
        async with Server(tmp_path, drain_s=5) as server:
            done, answered = asyncio.Event(), 0

            async def client() -> None:
                nonlocal answered
                while not done.is_set():
                    await server.ask()
                    answered += 1
                    await asyncio.sleep(0)

            clients = [asyncio.create_task(client()) for _ in range(4)]
            for turn in range(120):
                await asyncio.sleep(1)
                bad = kinds[turn % len(kinds)]
                (tmp_path / "m" / f"{2 * turn + 3}.edgepack").write_bytes(BAD[bad](2 * turn + 3))
                put(tmp_path, "m", 2 * turn + 2)
                await server.until(partial(server.answers_with, str(2 * turn + 2)))
            done.set()
            await asyncio.gather(*clients)
            assert all(int(version) % 2 == 0 for _, version in server.metrics.ready[1:])
            assert len(server.metrics.ready) == 121
            assert answered > 1000

    run(story, 300)


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_version_never_answers_and_is_reported(tmp_path: Path, kind: str) -> None:
    async def story() -> None:
        put(tmp_path, "m", 1)
        (tmp_path / "m" / "2.edgepack").write_bytes(BAD[kind](2))
        async with Server(tmp_path) as server:
            assert await server.ask() == "1"
            await server.until(lambda: server.states()["2"] == "UNAVAILABLE")
            assert server.metrics.refused == [("m", "2", kind == "wrong goldens")]
            assert server.reason("2")
            assert server.causes()["2"] == "failed"
            assert str(tmp_path) not in server.reason("2")
            with pytest.raises(NotReadyError, match="version 2"):
                await server.ask(version="2")
            with pytest.raises((PackError, EngineError)):
                await server.repository.load("m", "2")
            put(tmp_path, "m", 2)
            await server.until(lambda: server.answers_with("2"))

    run(story)


def test_a_model_whose_every_version_is_bad_says_why(tmp_path: Path) -> None:
    async def story() -> None:
        (tmp_path / "m").mkdir()
        (tmp_path / "m" / "1.edgepack").write_bytes(BAD["wrong digest"](1))
        async with Server(tmp_path) as server:
            await server.until(lambda: server.states()["1"] == "UNAVAILABLE")
            with pytest.raises(NotReadyError, match="digest"):
                await server.ask()
            assert server.plane.ready(), "what is known to be bad keeps nobody waiting"

    run(story)


def test_a_pack_without_golden_samples_is_not_taken(tmp_path: Path) -> None:
    async def story() -> None:
        put(tmp_path, "m", 1)
        write_pack(tmp_path / "m" / "2.edgepack", *packs.mlp(goldens=()))
        async with Server(tmp_path) as server:
            await server.until(lambda: server.states()["2"] == "UNAVAILABLE")
            assert "no golden samples" in server.reason("2")
            assert await server.ask() == "1"

    run(story)


def test_a_pack_that_is_copied_slowly_is_taken_when_it_is_whole(tmp_path: Path) -> None:
    async def story() -> None:
        put(tmp_path, "m", 1)
        async with Server(tmp_path) as server:
            data = sound(2)
            with (tmp_path / "m" / "2.edgepack").open("wb") as file:
                for start in range(0, len(data), len(data) // 8 + 1):
                    file.write(data[start : start + len(data) // 8 + 1])
                    file.flush()
                    await asyncio.sleep(0.05)
                    assert await server.ask() == "1"
            await server.until(lambda: server.answers_with("2"))
            assert server.metrics.refused == []

    run(story)


def test_a_copy_that_stalls_is_reported_and_taken_when_it_goes_on(tmp_path: Path) -> None:
    async def story() -> None:
        put(tmp_path, "m", 1)
        async with Server(tmp_path) as server:
            data = sound(2)
            (tmp_path / "m" / "2.edgepack").write_bytes(data[: len(data) // 2])
            await server.until(lambda: server.states().get("2") == "UNAVAILABLE")
            (tmp_path / "m" / "2.edgepack").write_bytes(data)
            await server.until(lambda: server.answers_with("2"))

    run(story)


def test_a_folder_form_that_is_copied_member_by_member_is_taken_when_it_is_whole(tmp_path: Path) -> None:
    async def story() -> None:
        write_pack(f"{tmp_path}/source/", *numbered(2))
        models = tmp_path / "models"
        models.mkdir()
        put(models, "m", 1)
        async with Server(models) as server:
            for file in sorted((tmp_path / "source").rglob("*"), reverse=True):
                if file.is_file():
                    target = models / "m" / "2" / file.relative_to(tmp_path / "source")
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file, target)
                    await asyncio.sleep(0.05)
            await server.until(lambda: server.answers_with("2"))

    run(story)


def test_a_version_whose_file_is_replaced_is_loaded_anew_or_stays(tmp_path: Path) -> None:
    async def story() -> None:
        put(tmp_path, "m", 1)
        async with Server(tmp_path) as server:
            first = server.repository.ready("m")
            (tmp_path / "m" / "1.edgepack").write_bytes(BAD["wrong digest"](1))
            await server.until(lambda: "is not taken" in server.reason("1"))
            assert server.repository.ready("m") is first
            assert await server.ask() == "1"
            put(tmp_path, "m", 1)
            await server.until(lambda: server.repository.ready("m") is not first)
            assert await server.ask() == "1"

    run(story)


def test_when_its_file_is_removed_the_next_lower_good_one_answers(tmp_path: Path) -> None:
    async def story() -> None:
        put(tmp_path, "m", 1)
        (tmp_path / "m" / "2.edgepack").write_bytes(BAD["wrong digest"](2))
        put(tmp_path, "m", 3)
        async with Server(tmp_path) as server:
            assert await server.ask() == "3"
            (tmp_path / "m" / "3.edgepack").unlink()
            while await server.ask() == "3":
                await asyncio.sleep(0.01)
            assert await server.ask() == "1"
            await server.until(lambda: ("m", "3") in server.metrics.gone)
            (tmp_path / "m" / "1.edgepack").unlink()
            await server.until(lambda: ("m", "1") in server.metrics.gone)
            with pytest.raises((NotReadyError, NotServedError)):
                await server.ask()

    run(story)


def test_the_old_version_drains_before_it_is_closed(tmp_path: Path) -> None:
    async def story() -> None:
        put(tmp_path, "m", 1)
        async with Server(tmp_path, drain_s=5) as server:
            old = server.repository.ready("m")
            assert old is not None
            with old:
                put(tmp_path, "m", 2)
                await server.until(lambda: server.answers_with("2"))
                await asyncio.sleep(0.1)
                assert server.states()["1"] == "UNLOADING"
                assert await old.predict([[1.0, 2.0, 3.0, 4.0]])
            await server.until(lambda: ("m", "1") in server.metrics.gone)

    run(story)


def test_a_request_that_never_ends_does_not_keep_the_old_version_for_ever(tmp_path: Path) -> None:
    async def story() -> None:
        put(tmp_path, "m", 1)
        async with Server(tmp_path, drain_s=0.1) as server:
            old = server.repository.ready("m")
            assert old is not None
            old.__enter__()
            put(tmp_path, "m", 2)
            await server.until(lambda: ("m", "1") in server.metrics.gone)

    run(story)


def test_labels_point_to_ready_versions_only_and_outlive_the_server(tmp_path: Path) -> None:
    async def story() -> None:
        for version in (1, 2):
            put(tmp_path, "m", version)
        async with Server(tmp_path) as server:
            repository = server.repository
            with pytest.raises(ConflictError, match="version 1 of model 'm' is not ready"):
                await repository.set_label("m", "stable", "1")
            with pytest.raises(UnknownNameError, match="stable, canary"):
                await repository.set_label("m", "best", "2")
            with pytest.raises(NotServedError):
                await repository.set_label("m", "stable", "7")
            await repository.set_label("m", "stable", "2")
            put(tmp_path, "m", 3)
            await server.until(lambda: "3" in repository.versions("m"))
            assert await server.ask() == "2"
            await repository.set_label("m", "canary", "3")
            assert await server.ask(version="canary") == "3"
        async with Server(tmp_path) as server:
            assert server.repository.labels("m") == {"stable": "2", "canary": "3"}
            assert await server.ask() == await server.ask(version="stable") == "2"
            assert await server.ask(version="canary") == "3"
            await server.repository.set_label("m", "stable", "3")
            await server.repository.set_label("m", "canary", "")
            assert await server.ask() == "3"
            await server.until(lambda: server.repository.versions("m") == ("3",))

    run(story)


def test_a_rollback_answers_with_the_version_before_and_outlives_the_server(tmp_path: Path) -> None:
    async def story() -> None:
        for version in (1, 2, 3):
            put(tmp_path, "m", version)
        async with Server(tmp_path) as server:
            assert await server.repository.rollback("m") == "2"
            assert await server.ask() == "2"
        async with Server(tmp_path) as server:
            assert await server.ask() == "2"
            assert "rolled back" in server.reason("3")
            assert server.causes()["3"] == "rolled back"
            put(tmp_path, "m", 4)
            await server.until(lambda: server.answers_with("4"))
            await server.repository.rollback("m")
            assert await server.ask() == "2"
            await server.repository.rollback("m")
            assert await server.ask() == "1"
            with pytest.raises(ConflictError, match="no version to go back to"):
                await server.repository.rollback("m")
            await server.repository.load("m", "3")
            assert await server.ask() == "3"

    run(story)


def test_a_rollback_to_a_bad_version_goes_further_or_changes_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        put(tmp_path, "m", 1)
        (tmp_path / "m" / "2.edgepack").write_bytes(BAD["wrong goldens"](2))
        put(tmp_path, "m", 3)
        async with Server(tmp_path) as server:
            assert await server.repository.rollback("m") == "1"
            assert await server.ask() == "1"
        shutil.rmtree(tmp_path / "m")
        (tmp_path / FILE).unlink()
        put(tmp_path, "m", 3)
        (tmp_path / "m" / "2.edgepack").write_bytes(BAD["wrong goldens"](2))
        async with Server(tmp_path) as server:
            with pytest.raises(ConflictError, match="golden samples"):
                await server.repository.rollback("m")
            assert await server.ask() == "3"

    run(story)


def test_a_rollback_and_a_push_from_outside_reach_every_server_of_the_folder(tmp_path: Path) -> None:
    async def story() -> None:
        models = tmp_path / "models"
        models.mkdir()
        for version in (1, 2):
            put(models, "m", version)
        async with Server(models) as one, Server(models) as other:
            assert await asyncio.to_thread(rollback, models, "m") == "1"
            await one.until(lambda: one.answers_with("1") and other.answers_with("1"))
            (tmp_path / "new.edgepack").write_bytes(sound(3))
            await asyncio.to_thread(push, tmp_path / "new.edgepack", models, "m")
            await one.until(lambda: one.answers_with("3") and other.answers_with("3"))
            await one.repository.unload("m")
            await one.until(lambda: other.repository.ready("m") is None)

    run(story)


def test_unload_and_load_by_name_outlive_the_server(tmp_path: Path) -> None:
    async def story() -> None:
        for version in (1, 2):
            put(tmp_path, "m", version)
        put(tmp_path, "other", 1)
        async with Server(tmp_path) as server:
            await server.repository.unload("m")
            assert server.metrics.gone == [("m", "2")]
            with pytest.raises(NotReadyError, match="unloaded"):
                await server.ask()
            assert await server.ask("other") == "1"
        async with Server(tmp_path) as server:
            with pytest.raises(NotReadyError, match="unloaded"):
                await server.ask()
            await server.repository.load("m")
            assert await server.ask() == "2"
            await server.repository.load("m", "1")
            assert await server.ask() == "2"
            assert await server.ask(version="1") == "1"
        async with Server(tmp_path) as server:
            assert await server.ask(version="1") == "1"
            await server.repository.unload("m", "1")
            with pytest.raises(NotReadyError, match="unloaded"):
                await server.ask(version="1")
            with pytest.raises(NotServedError):
                await server.repository.unload("m", "9")
            with pytest.raises(NotServedError):
                await server.repository.load("n")

    run(story)


def test_load_finds_what_was_not_watched(tmp_path: Path) -> None:
    async def story() -> None:
        put(tmp_path, "m", 1)
        async with Server(tmp_path, watch=False) as server:
            put(tmp_path, "m", 2)
            put(tmp_path, "n", 1)
            await server.repository.load("m", "2")
            await server.repository.load("n")
            assert await server.ask() == "2"
            assert await server.ask("n") == "1"

    run(story)


def test_on_demand_a_cold_model_is_loaded_once_for_all_who_ask(tmp_path: Path) -> None:
    async def story() -> None:
        put(tmp_path, "m", 1)
        opener = Slowly()
        async with Server(tmp_path, on_demand=True, opener=opener) as server:
            assert server.plane.ready()
            assert server.states() == {"1": "UNAVAILABLE"}
            assert server.causes() == {"1": "not loaded yet"}
            assert await asyncio.gather(*(server.ask() for _ in range(5))) == ["1"] * 5
            assert opener.opened == [("m", "1")]
            put(tmp_path, "m", 2)
            await server.until(lambda: server.answers_with("2"))

    run(story)


def test_whoever_waits_for_a_cold_model_keeps_to_the_deadline(tmp_path: Path) -> None:
    async def story() -> None:
        put(tmp_path, "m", 1)
        opener = Slowly(0.5)
        async with Server(tmp_path, on_demand=True, opener=opener) as server:
            with pytest.raises(DeadlineError, match="not loaded within"):
                await server.ask(timeout_s=0.05)
            assert await server.ask() == "1"
            assert opener.opened == [("m", "1")]

    run(story)


def test_on_demand_a_bad_version_is_found_out_and_the_next_lower_answers(tmp_path: Path) -> None:
    async def story() -> None:
        put(tmp_path, "m", 1)
        (tmp_path / "m" / "2.edgepack").write_bytes(BAD["wrong goldens"](2))
        async with Server(tmp_path, on_demand=True) as server:
            assert await server.ask() == "1"

    run(story)


def test_the_event_loop_goes_on_while_a_version_loads(tmp_path: Path) -> None:
    async def story() -> None:
        put(tmp_path, "m", 1)
        opener = Slowly(0.3)
        async with Server(tmp_path, opener=opener) as server:
            put(tmp_path, "m", 2)
            await server.until(lambda: ("m", "2") in opener.opened)
            asked = 0
            while not server.answers_with("2"):
                assert await server.ask() in {"1", "2"}
                await asyncio.sleep(0.001)
                asked += 1
            assert asked > 10

    run(story)


def test_beyond_the_memory_the_idle_model_used_longest_ago_is_unloaded(tmp_path: Path) -> None:
    async def story() -> None:
        for name in ("a", "b", "c"):
            put(tmp_path, name, 1)
        async with Server(tmp_path, memory_mb=0) as server:
            assert [server.causes(name)["1"] for name in "abc"] == ["not loaded yet"] * 3
            assert await server.ask("a") == "1"
            assert await server.ask("b") == "1"
            assert [server.causes(name)["1"] for name in "abc"] == ["not loaded yet", "", "not loaded yet"]
            held = server.repository.ready("b")
            assert held is not None
            with held:
                assert await server.ask("c") == "1"
                assert server.states("b")["1"] == "READY", "what answers is never unloaded for another"
            assert await server.ask("a") == "1"
            assert [server.causes(name)["1"] for name in "abc"] == ["", "not loaded yet", "not loaded yet"]

    run(story)


def test_with_memory_enough_everything_is_loaded_at_the_start(tmp_path: Path) -> None:
    async def story() -> None:
        for name in ("a", "b", "c"):
            put(tmp_path, name, 1)
        async with Server(tmp_path, memory_mb=4000) as server:
            assert [server.states(name)["1"] for name in "abc"] == ["READY"] * 3

    run(story)


def test_a_version_that_takes_the_process_down_is_left_alone(tmp_path: Path) -> None:
    async def story() -> None:
        for version in (1, 2):
            put(tmp_path, "m", version)
        for _ in range(3):
            StateFile(tmp_path).change("m", lambda state: state.begun(2))
        async with Server(tmp_path) as server:
            assert await server.ask() == "1"
            assert "ended the process 3 times" in server.reason("2")
            await server.repository.load("m", "2")
            assert await server.ask() == "2"
        assert StateFile(tmp_path).read()["m"].trying == {}

    run(story)


def test_after_a_restart_the_last_good_one_answers_while_a_newer_one_proves_itself(tmp_path: Path) -> None:
    async def story() -> None:
        put(tmp_path, "m", 1)
        async with Server(tmp_path):
            pass
        assert StateFile(tmp_path).read()["m"] == ModelState(good=1)
        put(tmp_path, "m", 2)
        async with Server(tmp_path) as server:
            assert server.metrics.ready == [("m", "1"), ("m", "2")]
            assert await server.ask() == "2"

    run(story)


def test_a_damaged_state_does_not_stop_the_start(tmp_path: Path) -> None:
    async def story() -> None:
        put(tmp_path, "m", 1)
        (tmp_path / FILE).write_bytes(b'{"m": {"labels"')
        async with Server(tmp_path) as server:
            assert await server.ask() == "1"

    run(story)


def test_what_an_engine_raises_that_nobody_foresaw_stops_that_version_alone(tmp_path: Path) -> None:
    def opener(path: Path, name: str, version: str, settings: ModelSettings) -> Served:
        if version == "2":
            raise ZeroDivisionError("no such thing")
        return open_served(path, name, version, settings)

    async def story() -> None:
        for version in (1, 2):
            put(tmp_path, "m", version)
        async with Server(tmp_path, opener=opener) as server:
            assert await server.ask() == "1"
            assert server.reason("2") == "no such thing"

    run(story)


def test_while_the_folder_is_away_what_is_loaded_goes_on_answering(tmp_path: Path) -> None:
    async def story() -> None:
        models = tmp_path / "models"
        models.mkdir()
        put(models, "m", 1)
        async with Server(models) as server:
            models.rename(tmp_path / "away")
            await asyncio.sleep(0.7)
            assert await server.ask() == "1"
            (tmp_path / "away").rename(models)
            put(models, "m", 2)
            await server.until(lambda: server.answers_with("2"))

    run(story)


def test_what_is_no_version_is_told(tmp_path: Path) -> None:
    async def story() -> None:
        put(tmp_path, "m", 1)
        (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
        async with Server(tmp_path) as server:
            assert "no folder" in server.repository.ignored()["notes.txt"]

    run(story)


def test_where_the_state_cannot_be_written_models_are_served_and_decisions_refused(tmp_path: Path) -> None:
    async def story() -> None:
        for version in (1, 2):
            put(tmp_path, "m", version)
        (tmp_path / FILE).mkdir()
        async with Server(tmp_path) as server:
            assert await server.ask() == "2"
            with pytest.raises(ConflictError, match="cannot be kept") as refused:
                await server.repository.set_label("m", "stable", "2")
            assert str(tmp_path) not in str(refused.value)
            with pytest.raises(ConflictError, match="cannot be kept"):
                await server.repository.rollback("m")
            assert await server.ask() == "2"

    run(story)


@pytest.mark.parametrize("watch", [True, False], ids=["watched", "not watched"])
def test_what_one_process_decides_another_of_the_same_folder_follows(tmp_path: Path, watch: bool) -> None:
    async def story() -> None:
        for version in (1, 2):
            put(tmp_path, "m", version)
        async with Server(tmp_path, watch=watch) as one, Server(tmp_path, watch=watch) as other:
            assert [await one.ask(), await other.ask()] == ["2", "2"]
            await one.repository.rollback("m")
            await other.until(partial(other.answers_with, "1"))
            await other.repository.load("m", "2")
            await one.until(partial(one.answers_with, "2"))
            await one.repository.set_label("m", "stable", "2")
            await other.until(lambda: other.repository.labels("m") == {"stable": "2"})
            assert await other.ask(version="stable") == "2"
            push(tmp_path / "m" / "1.edgepack", tmp_path, "new")
            await one.repository.load("new")
            await other.until(lambda: "1" in other.repository.versions("new"))
            await other.repository.unload("m")
            await one.until(lambda: not one.repository.versions("m"))
            await one.repository.load("m")
            await other.until(partial(other.answers_with, "2"))

    run(story)


def test_what_is_not_watched_takes_no_new_version_by_itself(tmp_path: Path) -> None:
    async def story() -> None:
        put(tmp_path, "m", 1)
        async with Server(tmp_path, watch=False) as server:
            put(tmp_path, "m", 2)
            await asyncio.sleep(1.2)  # longer than two looks
            assert server.states() == {"1": "READY"}

    run(story)


def test_a_version_that_another_process_loads_by_name_is_tried_again(tmp_path: Path) -> None:
    async def story() -> None:
        for version in (1, 2):
            put(tmp_path, "m", version)
        for _ in range(3):
            StateFile(tmp_path).change("m", lambda state: state.begun(2))
        async with Server(tmp_path) as one, Server(tmp_path) as other:
            assert [await one.ask(), await other.ask()] == ["1", "1"]
            await one.repository.load("m", "2")
            await other.until(partial(other.answers_with, "2"))

    run(story)


def test_while_no_file_can_be_opened_what_is_loaded_goes_on_answering(tmp_path: Path) -> None:
    async def story() -> None:
        put(tmp_path, "m", 1)
        async with Server(tmp_path) as server:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            try:
                for _ in range(4):  # longer than a file may be gone
                    await server.repository.rescan()
                    await asyncio.sleep(0.1)
                    assert await server.ask() == "1"
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            put(tmp_path, "m", 2)
            await server.until(lambda: server.answers_with("2"))

    run(story)


def test_a_name_that_is_no_text_does_not_end_the_watch(tmp_path: Path) -> None:
    async def story() -> None:
        put(tmp_path, "m", 1)
        async with Server(tmp_path) as server:
            (tmp_path / os.fsdecode(b"\xff\xfe")).mkdir()
            await asyncio.sleep(0.3)
            put(tmp_path, "m", 2)
            await server.until(lambda: server.answers_with("2"))

    run(story)


def test_unload_ends_with_the_last_request_whoever_let_go_of_the_model(tmp_path: Path) -> None:
    async def story() -> None:
        put(tmp_path, "m", 1)
        async with Server(tmp_path) as server:
            held = server.repository.ready("m")
            assert held is not None
            with held:
                StateFile(tmp_path).change("m", lambda state: state.without(1))
                await server.repository.rescan()
                unloading = asyncio.create_task(server.repository.unload("m", "1"))
                await asyncio.sleep(0.2)
                assert not unloading.done()
            await unloading
            assert server.metrics.gone == [("m", "1")]

    run(story)
