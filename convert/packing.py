"""From proved files to what lies on the disk: a pack with its manifest, or one bare file."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgepack.convert import micro
from edgepack.convert.lift import Lifted
from edgepack.convert.options import Options
from edgepack.convert.plan import Plan
from edgepack.convert.precisions import find
from edgepack.convert.prove import Proof, Question
from edgepack.convert.report import Report, Result
from edgepack.convert.sensitivity import Sensitivity
from edgepack.convert.trials import Trial
from edgepack.runtime.errors import InputError
from edgepack.runtime.manifest import (
    FORMAT_VERSION,
    FORMATS,
    Card,
    FileRef,
    Golden,
    Manifest,
    Steps,
    Variant,
)
from edgepack.runtime.pack import encode_array, reference, write_pack
from edgepack.runtime.steps.assets import separate
from edgepack.runtime.tensor import Array
from edgepack.runtime.writing import write_bytes


@dataclass(frozen=True, slots=True)
class Built:
    """One file and what was found about it."""

    variant: str
    format: str
    precision: str
    options: Options
    data: bytes
    proof: Proof
    trials: tuple[Trial, ...] = ()
    """What was tried to hold the budget; empty where nothing had to be."""
    sensitivities: tuple[Sensitivity, ...] = ()


def result_of(one: Built, p50_us: float | None) -> Result:
    """What the report says of a file, with its latency where it was measured."""
    census = one.proof.census
    return Result(
        variant=one.variant, format=one.format, precision=one.precision, size_bytes=len(one.data),
        parity=one.proof.parity, metric=one.proof.metric, reasons=one.proof.reasons,
        tensor_bytes=census.tensor_bytes if census else {}, operators=census.operators if census else {},
        standard=census.standard if census else "", engine=one.proof.engine, undelegated=one.proof.undelegated,
        options=one.options.said(), p50_us=p50_us, trials=one.trials, sensitivities=one.sensitivities,
    )  # fmt: skip


def check_bare(plan: Plan, lifted: Lifted | None) -> None:
    """Refuse a bare file for a model that needs steps: it has no place for them. A header tells of them."""
    if plan.bare and lifted and not plan.c_array:
        raise InputError(
            f"{plan.output.name} has no place for the steps that {', '.join(lifted.layers)} became: "
            f"write a pack, -o {plan.output.stem}.edgepack"
        )


def write(
    plan: Plan,
    report: Report,
    question: Question,
    built: list[Built],
    card: Card | None,
    lifted: Lifted | None,
    *,
    force: bool,
) -> micro.CArray | None:
    """Write the files that are right: as a pack, or as the one bare file that was asked for, or its C++ source."""
    right = [one for one in built if not one.proof.reasons]
    if plan.c_array:
        own = card.steps if card else Steps()
        return _write_c_array(plan, right[0], question, card, lifted.merged(own) if lifted else own, force=force)
    if plan.bare:
        write_bytes(plan.output, right[0].data)
        return None
    files: dict[str, bytes] = {}
    own = card.steps if card else Steps()
    steps, assets = _with_assets(lifted.merged(own) if lifted else own, files)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=report.name,
        inputs=report.inputs,
        outputs=report.outputs,
        variants=tuple(_variant(one, files) for one in right),
        goldens=(_golden(question, files, with_raw=lifted is not None and not own.inputs and not lifted.grows),),
        assets=assets,
        provenance=report.provenance,
        steps=steps,
        labels=card.labels if card else {},
        states=dict(report.states),
    )
    write_pack(f"{plan.output}/" if plan.as_folder else plan.output, manifest, files, force=force)
    return None


def _write_c_array(
    plan: Plan, one: Built, question: Question, card: Card | None, steps: Steps, *, force: bool
) -> micro.CArray:
    return micro.write_c_array(
        one.data,
        plan.output,
        golden=(question.samples.inputs, question.reference),
        budget=question.allowed(find(one.precision).budget),
        labels=card.labels if card else {},
        notes=micro.said_steps(steps),
        force=force,
    )


def _variant(one: Built, files: dict[str, bytes]) -> Variant:
    """The manifest's entry of a file; the file is added to `files`."""
    proof = one.proof
    assert proof.parity is not None, "a file without reasons against it was compared"
    assert proof.census is not None, "every file was counted"
    return Variant(
        name=one.variant,
        format=one.format,
        precision=one.precision,
        file=_add(files, f"variants/{one.variant}{FORMATS[one.format]}", one.data),
        parity=proof.parity,
        golden_tolerance=proof.golden_tolerance,
        metric=proof.metric,
        tensor_bytes=proof.census.tensor_bytes,
        operators=proof.census.operators,
        options=one.options.said(),
        unfit=dict(find(one.precision).formats[one.format].unfit),
    )


def _with_assets(steps: Steps, files: dict[str, bytes]) -> tuple[Steps, tuple[FileRef, ...]]:
    """The steps with large options as members of the pack; those are added to `files`."""
    paths: dict[bytes, str] = {}

    def add(data: bytes) -> str:
        return paths.setdefault(data, f"assets/{len(paths)}.json")

    separated = separate(steps, add)
    return separated, tuple(_add(files, path, data) for data, path in paths.items())


def _golden(question: Question, files: dict[str, bytes], *, with_raw: bool) -> Golden:
    """A few samples with the Keras model's answers; their arrays are added to `files`.

    Args:
        question: Samples and answers.
        files: Members of the pack.
        with_raw: Whether raw samples go through the lifted steps alone, so that they are worth keeping.
    """
    rows = list(question.golden_rows)

    def store(kind: str, arrays: Mapping[str, Array]) -> dict[str, FileRef]:
        return {
            name: _add(files, f"goldens/{kind}-{index}.npy", encode_array(_storable(array[rows])))
            for index, (name, array) in enumerate(arrays.items())
        }

    raw = store("raw", question.samples.raw) if with_raw and not _ends_in_nul(question.samples.raw, rows) else {}
    return Golden(store("input", question.samples.inputs), store("output", question.reference), raw)


def _ends_in_nul(raw: Mapping[str, Array], rows: list[int]) -> bool:
    """Whether a text ends in NUL: numpy cuts that off where it stores text."""
    texts = [value for array in raw.values() if array.dtype == object for value in array[rows].flat]
    return any(text[-1:] in {"\0", b"\0"} for text in texts)


def _storable(array: Array) -> Array:
    """Text as numpy stores it without pickling; broken UTF-8 is kept as Python keeps it in names of files."""
    if array.dtype != object:
        return array
    texts = [value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value for value in array.flat]
    return np.asarray(texts, dtype=np.str_).reshape(array.shape)


def _add(files: dict[str, bytes], path: str, data: bytes) -> FileRef:
    files[path] = data
    return reference(path, data)
