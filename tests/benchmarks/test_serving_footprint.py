"""The footprint of a server is measured from its beginning to its end."""

import sys
from pathlib import Path

import pytest

from edgepack.benchmarks.serving_footprint import main, measure_footprints
from edgepack.runtime.errors import EngineError, InputError
from tests.zoo import packs


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the memory of a process in /proc")
def test_one_start_finds_every_figure(mlp_pack: Path) -> None:
    pytest.importorskip("httptools")
    pytest.importorskip("grpc")
    found = measure_footprints([mlp_pack], Path(sys.executable), starts=1, idle_s=0.0)
    assert found.installed.mb > 0
    assert found.installed.largest
    assert [one.name for one in found.served] == ["HTTP", "HTTP and gRPC"]
    for one in found.served:
        assert len(one.starts) == 1
        assert one.start_cpu_s > 0
        assert 0 < one.start_s <= one.slowest_start_s
        assert 0 < one.pss_mb <= one.rss_mb


def test_a_pack_without_golden_samples_is_refused(tmp_path: Path) -> None:
    pack = packs.write(tmp_path / "m.edgepack", packs.mlp(goldens=()))
    with pytest.raises(InputError, match="no golden samples"):
        measure_footprints([pack], Path(sys.executable), starts=1)


def test_a_server_that_does_not_start_is_told(mlp_pack: Path) -> None:
    with pytest.raises(EngineError, match="did not start"):
        measure_footprints([mlp_pack], Path("/bin/false"), starts=1)


def test_the_command_tells_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([])
    assert "PACK" in capsys.readouterr().err
