"""Vulkan devices: found without raising, and told apart from programs on the CPU."""

import sys
from pathlib import Path

import pytest

from edgepack.runtime import vulkan
from tests.conftest import Child

_SHOW = "from edgepack.runtime import vulkan\nprint(len(vulkan.devices()), vulkan.why_none())"


def test_there_are_devices_or_there_is_a_reason() -> None:
    assert bool(vulkan.devices()) != bool(vulkan.why_none())


def test_a_software_device_says_so() -> None:
    assert vulkan.VulkanDevice("SwiftShader", "software", 0x1AE0, 0xC0DE).software
    assert not vulkan.VulkanDevice("Mali", "integrated", 0x13B5, 0).software


@pytest.mark.skipif(sys.platform != "linux", reason="the loader is replaced by a file of Linux")
def test_a_broken_loader_is_a_reason(child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "libvulkan.so.1").write_bytes(b"no library")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    done = child(_SHOW)
    assert done.stdout.startswith("0 the Vulkan loader libvulkan.so.1 cannot be loaded ("), done.stderr
    assert "install" in done.stdout


def test_a_driver_that_is_not_there_is_a_reason(child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VK_ICD_FILENAMES", str(tmp_path / "none.json"))
    monkeypatch.setenv("VK_DRIVER_FILES", str(tmp_path / "none.json"))
    done = child(_SHOW)
    assert done.stdout.startswith("0 the Vulkan loader"), done.stderr
