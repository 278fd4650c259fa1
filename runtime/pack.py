"""The single file that ships: an ordinary zip with uncompressed members, or the same as a folder; reader and writer."""

import contextlib
import os
import re
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

from edgepack.runtime import stored_zip
from edgepack.runtime.digests import sha256
from edgepack.runtime.errors import MissingFileError, OutputError, PackError, UnknownNameError
from edgepack.runtime.manifest import FileRef, Golden, Manifest, Steps, Variant, decode_manifest, encode
from edgepack.runtime.stored_zip import Entry
from edgepack.runtime.tensor import Array

if TYPE_CHECKING:  # devices read packs, and start faster without what only writers need
    from pathlib import Path

MANIFEST = "manifest.json"
SUFFIX = ".edgepack"

_MOST_MEMBERS = 10_000
_MOST_MANIFEST_BYTES = 64 * 2**20
_SAFE_PART = re.compile(r"[A-Za-z0-9_\-+=@ .]+")
_NPY_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '([<>|=][biufU]\d{1,9})', 'fortran_order': (False|True), "
    rb"'shape': \(([\d, ]*)\), \} *\n",
    re.DOTALL,
)
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same input gives the same bytes


class Pack:
    """A pack opened for reading. Use it as a context manager, or call `close`.

    Every name, size and digest is checked before a byte of a member is handed out.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open `path` and read its manifest.

        Raises:
            MissingFileError: There is nothing at `path`.
            PackError: It is no pack, damaged, hostile, or of another format version.
        """
        self.path = os.fspath(path)
        if not os.path.exists(self.path):  # Path.exists raises where a name is too long
            raise MissingFileError(self.path, "pack")
        self._members: _Members = _Folder(self.path) if os.path.isdir(self.path) else _Zip(self.path)
        try:
            size = self._members.size(MANIFEST)
            if size is None:
                raise PackError(f"{self.path} has no {MANIFEST}; it is not an edgepack pack")
            if size > _MOST_MANIFEST_BYTES:
                raise PackError(
                    f"{self.path} claims a manifest of {size:,} bytes; at most {_MOST_MANIFEST_BYTES:,} are read"
                )
            self.manifest: Manifest = decode_manifest(self._members.read(MANIFEST))
        except BaseException:
            self.close()
            raise

    def read(self, ref: FileRef) -> bytes:
        """The bytes of a member, after its size and its digest were found right.

        Raises:
            PackError: The member is missing, of another size, or its digest differs.
        """
        check_member_name(ref.path)
        size = self._members.size(ref.path)
        if size is None:
            raise PackError(f"{self.path} has no member {ref.path!r} that its manifest names; fetch or build it again")
        if size != ref.size_bytes:
            raise PackError(
                f"member {ref.path!r} of {self.path} has {size:,} bytes; its manifest says {ref.size_bytes:,}: "
                "it is damaged or was changed; fetch or build it again"
            )
        data = self._members.read(ref.path)
        digest = sha256(data)
        if digest != ref.sha256:
            raise PackError(
                f"member {ref.path!r} of {self.path} has digest {digest[:12]}…; its manifest says {ref.sha256[:12]}…: "
                "it is damaged or was changed; fetch or build it again"
            )
        return data

    def variant(self, name: str) -> Variant:
        """The variant of that name; raises `UnknownNameError` that lists those there are."""
        for variant in self.manifest.variants:
            if variant.name == name:
                return variant
        raise UnknownNameError("variant", name, [variant.name for variant in self.manifest.variants])

    def steps(self) -> Steps:
        """The steps of the manifest, with the assets their options name in place; raises `PackError` as `read` does."""
        assets = {ref.path: ref for ref in self.manifest.assets}

        def read(path: str) -> bytes:
            if path not in assets:
                raise PackError(
                    f"{self.path} has a step that needs asset {path[:80]!r}, which its manifest does not list"
                )
            return self.read(assets[path])

        if self.manifest.steps == Steps():
            return self.manifest.steps
        from edgepack.runtime.steps.assets import resolve

        return resolve(self.manifest.steps, read)

    def golden(self, golden: Golden) -> tuple[dict[str, Array], dict[str, Array]]:
        """Inputs and the Keras model's outputs of one golden batch, by name."""
        return (
            {name: decode_array(self.read(ref)) for name, ref in golden.inputs.items()},
            {name: decode_array(self.read(ref)) for name, ref in golden.outputs.items()},
        )

    def references(self) -> tuple[FileRef, ...]:
        """Every member the manifest names, in its order."""
        manifest = self.manifest
        goldens = [
            ref
            for golden in manifest.goldens
            for ref in (*golden.inputs.values(), *golden.outputs.values(), *golden.raw.values())
        ]
        return (*(variant.file for variant in manifest.variants), *goldens, *manifest.assets)

    def unlisted(self) -> tuple[str, ...]:
        """Members the manifest does not name; they are never read."""
        return tuple(sorted(set(self._members.names()) - {ref.path for ref in self.references()} - {MANIFEST}))

    def close(self) -> None:
        """Close the file; what was read stays valid."""
        self._members.close()

    def __enter__(self) -> "Pack":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def write_pack(
    path: str | os.PathLike[str], manifest: Manifest, files: Mapping[str, bytes], *, force: bool = False
) -> None:
    """Write a pack in one step: `path` is the old pack or the whole new one, never a part.

    Args:
        path: Where it goes. A path that ends with a slash makes a folder instead of a zip.
        manifest: What it says; every member it names must be in `files`.
        files: Member name → bytes.
        force: Replace what is at `path`.

    Raises:
        OutputError: `path` exists and `force` is False, or it cannot be written.
    """
    from edgepack.runtime.writing import replacing

    as_folder = str(path).endswith(("/", os.sep))
    target = check_pack_output(path, force=force)
    members = {MANIFEST: encode(manifest), **files}
    for name in members:
        check_member_name(name)
    with replacing(target) as beside:
        _write_folder(beside, members) if as_folder else _write_zip(beside, members)


def check_pack_output(path: str | os.PathLike[str], *, force: bool = False) -> "Path":
    """Return where a pack goes if it can be written there; a path that ends with a slash is a folder.

    Raises:
        OutputError: As `check_output`; and a folder that is there is replaced only where it is a pack and nothing else.
    """
    from pathlib import Path

    from edgepack.runtime.writing import check_output, check_place

    target = Path(path)
    if not str(path).endswith(("/", os.sep)):
        return check_output(target, force=force)
    if target.exists() and not target.is_dir():
        raise OutputError(f"{target} is a file and would become a folder; remove it or name another output")
    check_place(target, force=force)
    if target.is_dir() and any(target.iterdir()):
        strangers = _strangers(target)
        if strangers:
            raise OutputError(f"{target} holds what is no part of a pack ({strangers[0]}); name another folder")
    return target


def _strangers(folder: "Path") -> tuple[str, ...]:
    """Files in a folder that no pack put there; all of them where the folder is no pack."""
    try:
        with Pack(folder) as pack:
            return pack.unlisted()
    except (PackError, UnknownNameError):
        return tuple(file.name for file in sorted(folder.iterdir()))


def reference(path: str, data: bytes) -> FileRef:
    """What the manifest says of a member that holds `data`."""
    return FileRef(path=path, sha256=sha256(data), size_bytes=len(data))


def encode_array(array: Array) -> bytes:
    """An array as the bytes of a `.npy` file (never pickled)."""
    import io

    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), allow_pickle=False)
    return buffer.getvalue()


def decode_array(data: bytes) -> Array:
    """The array in the bytes of a `.npy` file; its claims are checked against the bytes that are there.

    Raises:
        PackError: Not such a file, objects in it, or more elements claimed than bytes follow.
    """
    # numpy's own reader hands the header to Python's parser, which a hostile one can make fail in many ways.
    end = 10 + int.from_bytes(data[8:10], "little")
    header = _NPY_HEADER.fullmatch(data[:end])
    if header is None:
        raise PackError("a golden sample is not a .npy file of plain numbers or text; build the pack again")
    element, order, sizes = (part.decode() for part in header.groups())
    body = memoryview(data)[end:]
    try:
        shape = tuple(int(size) for size in sizes.replace(",", " ").split())
        return np.frombuffer(body, dtype=element).reshape(shape, order="F" if order == "True" else "C").copy()
    except (ValueError, TypeError) as error:
        raise PackError(
            f"a golden sample claims {element} ({sizes[:80]}) over {len(body):,} bytes: {error}; build the pack again"
        ) from error


def check_member_name(name: str) -> None:
    """Raise `PackError` unless `name` is a plain relative path that stays inside the pack."""
    parts = name.split("/")
    plain = all(_SAFE_PART.fullmatch(part) and part.strip(". ") for part in parts)
    if not plain or len(name) > 255:
        raise PackError(
            f"member name {name[:80]!r} is not a plain relative path inside the pack; the pack is hostile or damaged"
        )


def is_pack(path: str | os.PathLike[str]) -> bool:
    """Whether `path` looks like a pack: by its ending, as a folder with a manifest, or as a zip."""
    if os.path.isdir(path) or os.path.splitext(path)[1] == SUFFIX:
        return True
    if os.path.isfile(path):
        with contextlib.suppress(OSError), open(path, "rb") as file:
            return file.read(4) == b"PK\x03\x04"
    return False


class _Members(Protocol):
    """Where the members lie: in a zip or in a folder."""

    def names(self) -> list[str]: ...
    def size(self, name: str) -> int | None: ...
    def read(self, name: str) -> bytes: ...
    def close(self) -> None: ...


class _Zip:
    """Members of a zip file; all claims of its directory are checked when it is opened."""

    def __init__(self, path: str) -> None:
        self._path = path
        if not os.path.isfile(path):  # a pipe or a device would be waited for
            raise PackError(f"{path} is not a file; a pack is a file or a folder")
        with contextlib.ExitStack() as undo:
            try:
                self._file = undo.enter_context(open(path, "rb"))
                entries = stored_zip.read_directory(self._file)
            except (stored_zip.BadZipError, OSError) as error:
                raise PackError(
                    f"{path} is not a pack (a zip file) or is cut short: {error}; fetch or build it again"
                ) from error
            self._entries = self._checked(entries, os.path.getsize(path))
            undo.pop_all()

    def _checked(self, found: list[Entry], room: int) -> dict[str, Entry]:
        """The entries by name, if each is a plain stored file and together they fit into the archive."""
        if len(found) > _MOST_MEMBERS:
            raise PackError(f"{self._path} has {len(found):,} members; at most {_MOST_MEMBERS:,} are read")
        entries: dict[str, Entry] = {}
        for entry in found:
            if entry.name in entries:
                raise PackError(f"{self._path} has member {entry.name!r} twice; it is hostile or damaged")
            self._check_entry(entry)
            if not entry.name.endswith("/"):
                entries[entry.name] = entry
        claimed = sum(entry.size for entry in entries.values())
        if claimed > room:
            raise PackError(
                f"{self._path} claims {claimed:,} bytes of members in a file of {room:,}; it is hostile or damaged"
            )
        return entries

    def _check_entry(self, entry: Entry) -> None:
        check_member_name(entry.name.removesuffix("/"))
        if stat.S_IFMT(entry.mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
            raise PackError(f"member {entry.name!r} of {self._path} is a link or a device; it is hostile")
        if entry.encrypted:
            raise PackError(f"member {entry.name!r} of {self._path} is encrypted; packs are not")
        if not entry.stored:
            raise PackError(
                f"member {entry.name!r} of {self._path} is compressed; packs hold uncompressed members (zip -0)"
            )

    def names(self) -> list[str]:
        return list(self._entries)

    def size(self, name: str) -> int | None:
        entry = self._entries.get(name)
        return None if entry is None else entry.size

    def read(self, name: str) -> bytes:
        try:
            data = stored_zip.read_member(self._file, self._entries[name])
            if name == MANIFEST:  # the digests of all others stand in it
                stored_zip.check_sum(self._entries[name], data)
        except (stored_zip.BadZipError, OSError, ValueError) as error:
            raise PackError(f"member {name!r} of {self._path} is damaged: {error}; fetch or build it again") from error
        return data

    def close(self) -> None:
        self._file.close()


class _Folder:
    """Members of a folder; links are refused, so that nothing outside of it is read."""

    def __init__(self, path: str) -> None:
        from pathlib import Path

        self._path = Path(path)

    def _file(self, name: str) -> "Path":
        """The file of a member, if neither it nor a folder above it is a link."""
        file = self._path
        for part in name.split("/"):
            file = file / part
            if file.is_symlink():
                raise PackError(f"member {name!r} of {self._path} is a link; packs hold plain files")
        return file

    def names(self) -> list[str]:
        return [file.relative_to(self._path).as_posix() for file in sorted(self._path.rglob("*")) if file.is_file()]

    def size(self, name: str) -> int | None:
        file = self._file(name)
        return file.stat().st_size if file.is_file() else None

    def read(self, name: str) -> bytes:
        try:
            return self._file(name).read_bytes()
        except OSError as error:
            raise PackError(f"member {name!r} of {self._path} cannot be read: {error.strerror}") from error

    def close(self) -> None:
        """Nothing is held open."""


def _write_zip(path: "Path", members: Mapping[str, bytes]) -> None:
    import zipfile  # devices read packs and write none

    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, date_time=_EPOCH)
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, data)


def _write_folder(path: "Path", members: Mapping[str, bytes]) -> None:
    for name, data in members.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
