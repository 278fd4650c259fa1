"""From proved files to what lies on the disk: a pack with its manifest, or one bare file."""

from collections.abc import Mapping
from dataclasses import dataclass

from edgepack.convert.plan import Plan
from edgepack.convert.prove import Proof, Question
from edgepack.convert.report import Report
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
from edgepack.runtime.tensor import Array
from edgepack.runtime.writing import write_bytes


@dataclass(frozen=True, slots=True)
class Built:
    """One file and what was found about it."""

    variant: str
    format: str
    precision: str
    data: bytes
    proof: Proof


def write(
    plan: Plan, report: Report, question: Question, built: list[Built], card: Card | None, *, force: bool
) -> None:
    """Write the files that are right: as a pack, or as the one bare file that was asked for."""
    right = [one for one in built if not one.proof.reasons]
    if plan.bare:
        write_bytes(plan.output, right[0].data)
        return
    files: dict[str, bytes] = {}
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=report.name,
        inputs=report.inputs,
        outputs=report.outputs,
        variants=tuple(_variant(one, files) for one in right),
        goldens=(_golden(question, files),),
        provenance=report.provenance,
        steps=card.steps if card else Steps(),
        labels=card.labels if card else {},
    )
    write_pack(f"{plan.output}/" if plan.as_folder else plan.output, manifest, files, force=force)


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
    )


def _golden(question: Question, files: dict[str, bytes]) -> Golden:
    """A few samples with the Keras model's answers; their arrays are added to `files`."""
    rows = list(question.golden_rows)

    def store(kind: str, arrays: Mapping[str, Array]) -> dict[str, FileRef]:
        return {
            name: _add(files, f"goldens/{kind}-{index}.npy", encode_array(array[rows]))
            for index, (name, array) in enumerate(arrays.items())
        }

    return Golden(store("input", question.samples.inputs), store("output", question.reference))


def _add(files: dict[str, bytes], path: str, data: bytes) -> FileRef:
    files[path] = data
    return reference(path, data)
