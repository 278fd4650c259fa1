"""The commands `run`, `inspect`, `verify` and `devices`: thin skins over the runtime."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from msgspec.structs import asdict, replace

from edgepack import console
from edgepack.quiet import quiet
from edgepack.runtime import engines
from edgepack.runtime.arrays import read_arrays
from edgepack.runtime.device import this_device
from edgepack.runtime.engines import Offer
from edgepack.runtime.engines.base import Look
from edgepack.runtime.errors import EdgepackError, InputError, PackError
from edgepack.runtime.loading import load
from edgepack.runtime.manifest import Manifest
from edgepack.runtime.pack import Pack, is_pack
from edgepack.runtime.pictures import picture_places, write_pictures
from edgepack.runtime.results import line, plain
from edgepack.runtime.sample_files import Named, holds_many, holds_tensors, read
from edgepack.runtime.session import Session
from edgepack.runtime.steps.raw import raw_values
from edgepack.runtime.steps.samples import Preparation
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
    output: Path = Path(),
    force: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Run raw samples through a pack and print readable results.

    Args:
        model: A pack, or a bare .tflite or .onnx file.
        samples: Raw samples, as the first step of the pack takes them (edgepack inspect tells): image files; .txt files
            with a text a line; .csv files with a row a line, with or without a header; .wav files; .csv or .npy files
            of a series. Else .npz files hold tensors by input name, .npy files one.
        variant: The name of a variant, a precision, or "auto".
        engine: "onnx", "litert" or "openvino"; by default the first installed that reads the variant.
        provider: Where to run, best first, separated by commas: auto, cpu, gpu, npu, or an engine's own name.
        threads: Threads one call may use; by default the cores this process may use.
        strict: Refuse any fallback.
        reduced: Let a provider compute float32 in bfloat16 or float16.
        option: An option of the provider, as name=value; may be given several times.
        delegate: A TFLite delegate to run on, a shared library such as libedgetpu.so.1; short for
            --provider delegate:LIBRARY.
        text: A raw sample in place of a file: a text, or a row as a line of CSV; may be given several times.
        output: The folder that pictures are written to, as PNG files named after sample and output.
        force: Replace pictures that are there already.
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
        results = _results(session, samples, text, output, force=force)
        where = {
            "variant": session.variant, "engine": session.engine.description, "provider": session.provider,
            "device": session.device, "placement": dict(session.placement), "fallbacks": session.fallbacks,
            "chosen": session.chosen,
        }  # fmt: skip
    if json:
        console.show_json({**where, "results": [{"sample": name, "result": plain(result)} for name, result in results]})
        return 0
    for name, result in results:
        console.show(f"{name}: {line(result)}")
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
        raw_lines = [] if json else _raw_lines(pack)
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
    for told in raw_lines:
        console.show(told)
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


def _results(
    session: Session, files: Sequence[Path], texts: Sequence[str], folder: Path, *, force: bool
) -> list[Named]:
    """What each sample is called and what came of it; pictures are written, and their paths stand for them."""
    groups = [None if holds_tensors(session.raw_values, file) else read(session.raw_values, file) for file in files]
    groups.append(_texts(session, texts))
    names = [name for group in groups for name, _ in group or []]
    places = iter(picture_places(names, session.picture_outputs, folder, force=force))
    results: list[Named] = []
    for file, group in zip((*files, Path()), groups, strict=True):
        if group is None:
            results.append((str(file), session.run(_tensors(file))))
        found = session.predict_file([sample for _, sample in group or []])
        results += [
            (name, write_pictures(result, next(places), session.outputs[0].name))
            for (name, _), result in zip(group or [], found, strict=True)
        ]
    return results


def _tensors(file: Path) -> Any:
    arrays = read_arrays(file, "sample")
    return arrays.get("", arrays)


def _texts(session: Session, texts: Sequence[str]) -> list[Named]:
    """Samples that were given as text, each under its own name."""
    if texts and not holds_many(session.raw_values):
        raise InputError("this model does not take text; it takes " + "; ".join(raw.told for raw in session.raw_values))
    return [(text, text) for text in texts]


def _raw_lines(pack: Pack) -> list[str]:
    """What a raw sample is, value by value."""
    manifest = pack.manifest
    try:
        steps = pack.steps()
        given = [spec for spec in manifest.inputs if spec.name not in manifest.states]
        Preparation(given, steps)  # checks the options that are told from
        return [f"raw sample {raw.name}: {raw.told}" for raw in raw_values(given, steps)]
    except EdgepackError as error:  # what a pack holds can be shown where its samples cannot be read
        return [f"raw sample: cannot be read here: {error}"]


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
            f"{one.metric.title} {one.metric.value:.4f}" if one.metric else "–",
            f"{one.metric.keras:.4f}" if one.metric else "–", one.file.sha256[:12],
        )
        for one in manifest.variants
    ]  # fmt: skip
    return columns, rows


def _options(options: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in options.items())
