"""The commands `run`, `inspect`, `verify` and `devices`: thin skins over the runtime."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter
from msgspec.structs import asdict, replace

from edgepack import console
from edgepack.quiet import quiet
from edgepack.runtime import engines
from edgepack.runtime.arrays import read_arrays
from edgepack.runtime.device import this_device
from edgepack.runtime.engines import Offer
from edgepack.runtime.engines.base import Look
from edgepack.runtime.errors import InputError, MissingFileError, PackError
from edgepack.runtime.loading import load
from edgepack.runtime.manifest import Manifest
from edgepack.runtime.pack import Pack, is_pack
from edgepack.runtime.session import Session
from edgepack.runtime.steps.outputs import Score
from edgepack.runtime.tensor import describe
from edgepack.runtime.trials import Trial
from edgepack.runtime.verify import verify as verify_pack

Json = Annotated[bool, Parameter(name="--json", negative="")]


def run(  # noqa: PLR0913 - options of a command
    model: Path,
    /,
    *samples: Path,
    variant: str = "auto",
    engine: str | None = None,
    provider: str = "auto",
    threads: int | None = None,
    strict: Annotated[bool, Parameter(negative="")] = False,
    reduced: Annotated[bool, Parameter(negative="")] = False,
    option: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    delegate: str | None = None,
    text: Annotated[tuple[str, ...], Parameter(negative="", allow_leading_hyphen=True)] = (),
    json: Json = False,
) -> int:
    """Run raw samples through a pack and print readable results.

    Args:
        model: A pack, or a bare .tflite or .onnx file.
        samples: Raw samples: image files for a model of images, .txt files with one sample a line for a model of text;
            .npz files hold tensors by input name, .npy files one.
        variant: The name of a variant, a precision, or "auto".
        engine: "onnx", "litert" or "openvino"; by default the first installed that reads the variant.
        provider: Where to run, best first, separated by commas: auto, cpu, gpu, npu, or an engine's own name.
        threads: Threads one call may use; by default the cores this process may use.
        strict: Refuse any fallback.
        reduced: Let a provider compute float32 in bfloat16 or float16.
        option: An option of the provider, as name=value; may be given several times.
        delegate: A TFLite delegate to run on, a shared library such as libedgetpu.so.1; short for
            --provider delegate:LIBRARY.
        text: A raw sample for a model of text, in place of a file; may be given several times.
        json: Print one JSON document on stdout and nothing else.
    """
    if not samples and not text:
        raise InputError(f"no sample to run; give one or more: edgepack run {model} SAMPLE")
    asked = tuple(part.strip() for part in provider.split(",")) if delegate is None else (f"delegate:{delegate}",)
    with quiet():  # engines greet on stderr
        opened = load(
            model, variant=variant, engine=engine, provider=asked, threads=threads, strict=strict, reduced=reduced,
            options=_named_options(option),
        )  # fmt: skip
    with opened as session:
        results = [result for sample in samples for result in _answers(session, sample)]
        results += _texts(session, text, text)
        where = {
            "variant": session.variant, "engine": session.engine.description, "provider": session.provider,
            "device": session.device, "placement": dict(session.placement), "fallbacks": session.fallbacks,
            "chosen": session.chosen,
        }  # fmt: skip
    if json:
        console.show_json(
            {**where, "results": [{"sample": name, "result": _plain(result)} for name, result in results]}
        )
        return 0
    for name, result in results:
        console.show(f"{name}: {_line(result)}")
    console.note(f"{where['variant']} on {_where(session)}; {session.chosen}")
    for reason in session.fallbacks:
        console.note(f"passed over: {reason}")
    return 0


def inspect(model: Path, /, *, json: Json = False) -> int:
    """Show what a pack or a bare file holds.

    Args:
        model: A pack, or a bare .tflite or .onnx file.
        json: Print one JSON document on stdout and nothing else.
    """
    if not is_pack(model):
        with quiet():
            session = load(model)
        with session:
            return _inspect_file(session, model, json=json)
    with Pack(model) as pack:
        manifest, unlisted = pack.manifest, pack.unlisted()
    if json:
        console.show_json(manifest)
        return 0
    console.show(f"{manifest.name}: {len(manifest.variants)} variants, format version {manifest.format_version}")
    _show_tensors([("input", spec) for spec in manifest.inputs] + [("output", spec) for spec in manifest.outputs])
    console.show_table("Variants", *_variant_rows(manifest))
    for kind, table in (("before", manifest.steps.inputs), ("after", manifest.steps.outputs)):
        for name, steps in table.items():
            console.show(
                f"steps {kind} {name}: " + " → ".join(f"{step.step} {_options(step.options)}".strip() for step in steps)
            )
    _show_labels(manifest.labels)
    for key, value in manifest.provenance.items():
        console.show(f"{key}: {_options(value) if isinstance(value, dict) else value}")
    if unlisted:
        console.note(f"members the manifest does not name, never read: {', '.join(unlisted)}")
    return 0


def verify(pack: Path, /, *, json: Json = False) -> int:
    """Check every digest of a pack, and every variant against the golden samples, on this device.

    Args:
        pack: A pack.
        json: Print one JSON document on stdout and nothing else.
    """
    if os.path.exists(pack) and not is_pack(pack):
        raise PackError(f"{pack} is not a pack; a bare file carries no digests and golden samples to verify")
    with console.progress("verifying", total=1) as advance:
        with quiet():
            found = verify_pack(pack, progress=lambda _, name: advance(0, name))
        advance(1)
    if json:
        console.show_json({"passed": not found.failures, "failures": found.failures, "verification": found})
    else:
        console.show(f"{found.pack}: {found.members} members, every size and digest right")
        rows = [
            (
                check.variant, check.engine, f"{check.parity.max_abs:.2e}" if check.parity else "–",
                f"{check.tolerance:.2e}" if check.tolerance is not None else "–",
                check.verdict,
            )
            for check in found.checks
        ]  # fmt: skip
        console.show_table(
            "Golden samples on this device", ("variant", "engine", "max abs error", "allowed", "verdict"), rows
        )
    for failure in found.failures:
        console.note(f"edgepack: {failure}")
    return 1 if found.failures else 0


def devices(*, json: Json = False) -> int:
    """Show this device, the engines installed here, and what each can run on.

    Args:
        json: Print one JSON document on stdout and nothing else.
    """
    device = this_device()
    rows = [_look(name, offer) for name in engines.known() for offer in engines.offers(name)]
    if json:
        console.show_json({"device": {**asdict(device), "fingerprint": device.fingerprint}, "providers": rows})
        return 0
    facts = {**asdict(device), "cpu_flags": " ".join(device.cpu_flags), "fingerprint": device.fingerprint}
    console.show_table(
        "This device",
        ("fact", "value"),
        [(key, "unknown" if value in {None, ""} else value) for key, value in facts.items()],
    )
    cells = [(row["engine"], row["provider"], row["kind"], _usable(row)) for row in rows]
    console.show_table("Engines and providers", ("engine", "provider", "kind", "usable"), cells)
    return 0


def _look(engine: str, offer: Offer) -> dict[str, Any]:
    """What becomes of a provider here; one that has to be loaded for that is looked at in a process of its own."""
    if engine not in engines.available():
        found = Look(why_not=f"run: pip install 'edgepack[{engines.extra(engine)}]'")
    elif why := offer.missing():
        found = Look(why_not=why)
    elif offer.look is None:
        found = Look()
    else:
        with Trial() as trial:
            found = trial.look(engine, offer.name)
    return {
        "engine": engine, "provider": offer.name, "kind": offer.kind, "usable": not found.why_not,
        "why": found.why_not, "device": found.device, "software": found.software,
    }  # fmt: skip


def _usable(row: Mapping[str, Any]) -> str:
    if not row["usable"]:
        return f"no: {row['why']}"
    device = f" ({row['device']}{', software' if row['software'] else ''})" if row["device"] else ""
    return f"yes{device}"


def _named_options(given: Sequence[str]) -> dict[str, str]:
    for one in given:
        if "=" not in one:
            raise InputError(f"option {one!r} is no name=value")
    return dict(one.split("=", 1) for one in given)


def _where(session: Session) -> str:
    """The engine, what kind of provider runs, its own name, and on what."""
    own = ", ".join(f"{name} {count}" if count else name for name, count in session.placement.items())
    device = f" on {session.device}" if session.device else ""
    return f"{session.engine.description}, {session.provider} ({own}){device}"


def _answers(session: Session, sample: Path) -> list[tuple[str, Any]]:
    """What to call each sample in a file, and its result: a line of text, or the file as a whole."""
    if sample.suffix == ".txt" and session.text_input:
        if not sample.exists():
            raise MissingFileError(sample)
        if not sample.is_file():  # a pipe would be waited for
            raise InputError(f"{sample} is no file of text; name one with a text a line")
        try:
            lines = sample.read_text(encoding="utf-8", errors="surrogateescape").removesuffix("\n").split("\n")
        except OSError as error:
            raise InputError(f"{sample} cannot be read: {error.strerror}") from error
        names = [f"{sample}:{number}" for number in range(1, len(lines) + 1)]
        return _texts(session, names, [line.removesuffix("\r") for line in lines])
    return [(str(sample), _answer(session, sample))]


def _texts(session: Session, names: Sequence[str], texts: Sequence[str]) -> list[tuple[str, Any]]:
    """The results of several texts, each with its name."""
    if texts and not session.text_input:
        raise InputError("this model does not take text; give it the samples it takes as files")
    return list(zip(names, session.predict(list(texts)), strict=True))


def _answer(session: Session, sample: Path) -> Any:
    """The result of one sample file: tensors for .npy and .npz, else through the pack's steps."""
    if sample.suffix not in {".npy", ".npz"}:
        if not session.manifest or not session.manifest.steps.inputs:
            raise InputError(f"this model has no steps to read {sample} with; give its tensors as .npy or .npz")
        return session.predict(sample)
    arrays = read_arrays(sample, "sample")
    tensors: Any = arrays.get("", arrays)
    return session.run(tensors)


def _plain(result: Any) -> Any:
    """A result as JSON can hold it."""
    if isinstance(result, np.ndarray):
        return result.tolist()
    if isinstance(result, dict):
        return {name: _plain(value) for name, value in result.items()}
    return [{"label": one.label, "score": one.score} if isinstance(one, Score) else one for one in result]


def _line(result: Any) -> str:
    """A result on one line."""
    if isinstance(result, dict):
        return "; ".join(f"{name} {_line(value)}" for name, value in result.items())
    if isinstance(result, np.ndarray):
        return np.array2string(result, threshold=20, precision=4).replace("\n", " ")
    return ", ".join(f"{one.label} ({one.score:.1%})" for one in result)


def _inspect_file(session: Session, path: Path, *, json: bool) -> int:
    about = session.about
    inputs, outputs = (
        [replace(spec, meaning=about.meanings.get(spec.name, "")) for spec in specs]
        for specs in (session.inputs, session.outputs)
    )
    facts = {
        "file": str(path), "size_bytes": path.stat().st_size, "engine": session.engine.description,
        "placement": dict(session.placement), "about": about, "inputs": inputs, "outputs": outputs,
    }  # fmt: skip
    if json:
        console.show_json(facts)
        return 0
    console.show(f"{path}: {facts['size_bytes']:,} bytes, opened by {facts['engine']}")
    if about.edgepack:
        console.show(f"{about.name or 'a model'}, written by edgepack {about.edgepack}")
    _show_tensors([("input", spec) for spec in inputs] + [("output", spec) for spec in outputs])
    _show_labels(about.labels)
    return 0


def _show_tensors(rows: list[tuple[str, Any]]) -> None:
    cells = [(kind, spec.name, describe(spec.shape, spec.dtype), spec.meaning) for kind, spec in rows]
    console.show_table("Tensors", ("", "name", "type and shape", "meaning"), cells)


def _show_labels(found: Mapping[str, Sequence[str]]) -> None:
    for name, labels in found.items():
        console.show(f"labels of {name}: {', '.join(labels[:20])}{' …' if len(labels) > 20 else ''}")


def _variant_rows(manifest: Manifest) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    columns = ("variant", "precision", "size in kB", "max abs error", "agreement", "metric", "Keras", "sha256")
    rows: list[tuple[str, ...]] = [
        (
            one.name, one.precision, f"{one.file.size_bytes / 1000:,.1f}", f"{one.parity.max_abs:.2e}",
            "–" if one.parity.agreement is None else f"{one.parity.agreement:.2%}",
            f"{one.metric.name} {one.metric.value:.4f}" if one.metric else "–",
            f"{one.metric.keras:.4f}" if one.metric else "–", one.file.sha256[:12],
        )
        for one in manifest.variants
    ]  # fmt: skip
    return columns, rows


def _options(options: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in options.items())
