"""The commands `verify` and `inspect`: the runtime's own, and what needs the converters to look closer."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from edgepack import console
from edgepack.quiet import quiet
from edgepack.runtime.errors import InputError
from edgepack.runtime.pack import is_pack
from edgepack.runtime.writing import check_output, write_bytes

Switch = Annotated[bool, Parameter(negative="")]


def verify(
    pack: Path,
    /,
    *,
    bisect: Switch = False,
    model: Path | None = None,
    variant: str = "",
    custom: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    unsafe_lambda: Switch = False,
    json: Switch = False,
) -> int:
    """Check every digest of a pack, and every variant against the golden samples, on this device.

    Args:
        pack: A pack; with --bisect a bare .tflite or .onnx file too.
        bisect: Find the first layer of the Keras model whose output differs, by the layer's name. Needs
            'edgepack[convert]'.
        model: The Keras model for --bisect; by default the file of the name the pack was made of, beside the pack.
        variant: The variant to bisect; by default those that fail, or all where none does.
        custom: For --bisect: a layer or function of your own that the model names, as module:name; once for each.
        unsafe_lambda: For --bisect: execute the code that Lambda layers in the model carry.
        json: Print one JSON document on stdout and nothing else.
    """
    from edgepack.runtime.cli import verify as plain_verify

    if bisect:
        return _bisect(pack, model, variant, custom, unsafe_lambda=unsafe_lambda, json=json)
    if model or variant or custom or unsafe_lambda:
        raise InputError("--model, --variant, --custom and --unsafe-lambda belong to --bisect: add it too")
    return plain_verify(pack, json=json)


def inspect(
    model: Path,
    /,
    *,
    layers: Switch = False,
    variant: str | None = None,
    against: str | None = None,
    samples: Path | None = None,
    html: Path | None = None,
    force: Switch = False,
    json: Switch = False,
) -> int:
    """Show what a pack or a bare file holds.

    Args:
        model: A pack, or a bare .tflite or .onnx file.
        layers: Run a file operator by operator and show the range, the noise and the element types of each layer.
            Needs 'edgepack[convert]'.
        variant: For --layers: the variant to look into; by default the first that is quantized.
        against: For --layers: what it is compared with, another variant, or another file where the model is a file.
            By default the float32 variant of its format.
        samples: For --layers: a .npz file of tensors by input name; by default the pack's golden samples, and random
            numbers for a bare file.
        html: For --layers: write a page with a plot too.
        force: Replace the page.
        json: Print one JSON document on stdout and nothing else.
    """
    from edgepack.runtime.cli import inspect as plain_inspect

    if layers:
        return _layers(model, variant, against, samples, html, force=force, json=json)
    if variant or against or samples or html or force:
        raise InputError("--variant, --against, --samples, --html and --force belong to --layers: add it too")
    return plain_inspect(model, json=json)


def _layers(
    model: Path,
    variant: str | None,
    against: str | None,
    samples: Path | None,
    html: Path | None,
    *,
    force: bool,
    json: bool,
) -> int:
    from edgepack.convert.layer_files import look_into
    from edgepack.convert.layers import table

    if html and not force:
        check_output(html)
    with console.progress("looking at each layer", total=1) as advance:
        report = look_into(model, variant=variant, against=against, samples=samples)
        advance(1)
    if html:
        from edgepack.convert.layer_pages import render

        write_bytes(html, render(report).encode())
    if json:
        console.show_json(report)
        return 0
    where = f" against {report.against}" if report.against else ""
    console.show_table(f"{report.file}{where}, on {report.rows} rows of {report.samples}", *table(report))
    if report.worst:
        console.show(f"most noise: {', '.join(one.layer for one in report.worst[:3])}")
    if html:
        console.show(f"wrote {html}")
    return 0


def _bisect(
    file: Path, model: Path | None, variant: str, custom: tuple[str, ...], *, unsafe_lambda: bool, json: bool
) -> int:
    from edgepack.convert.bisect import bisect, model_of
    from edgepack.runtime.verify import verify as verify_pack

    failing: list[str] = []
    if is_pack(file):
        with quiet():
            found = verify_pack(file)
        failing = list(dict.fromkeys(check.variant for check in found.checks if check.tried and not check.passed))
    with console.progress("looking at each layer", total=1) as advance:
        bisections = bisect(
            file, model or model_of(file), variants=[variant] if variant else failing, custom=custom,
            unsafe_lambda=unsafe_lambda,
        )  # fmt: skip
        advance(1)
    differ = [one for one in bisections if one.first is not None]
    if json:
        console.show_json({"passed": not differ, "bisections": bisections})
        return 1 if differ else 0
    for one in bisections:
        rows = [
            (check.layer, check.kind, "–" if check.distance is None else f"{check.distance:.2e}", check.verdict)
            for check in one.layers
        ]
        console.show_table(f"{one.file}: layer by layer", ("layer", "kind", "nearest tensor", "verdict"), rows)
        console.show(str(one))
    return 1 if differ else 0
