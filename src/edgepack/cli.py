"""The command `edgepack`: its sub-commands by name, each imported when it is called."""

import sys
from difflib import get_close_matches

from cyclopts import App, CycloptsError

from edgepack import __version__

# sub-command -> (where its function lives, what --help of `edgepack` says of it)
_COMMANDS = {
    "train": ("edgepack.train.cli:train", "Train a recipe on real data."),
    "recipes": ("edgepack.train.cli:recipes", "List the recipes."),
    "convert": ("edgepack.convert.cli:convert", "Convert a Keras model to proved TFLite and ONNX files, as a pack."),
    "precisions": ("edgepack.convert.cli:precisions", "List the precisions: what each stores, needs and runs in."),
    "export": ("edgepack.convert.micro.cli:export", "Write a TFLite file as C++ source for a microcontroller."),
    "inspect": ("edgepack.convert.files_cli:inspect", "Show what a pack or a file holds."),
    "verify": ("edgepack.convert.files_cli:verify", "Check a pack's digests and golden answers on this device."),
    "run": ("edgepack.runtime.cli:run", "Run raw samples through a pack."),
    "serve": ("edgepack.runtime.serve.cli:serve", "Serve a folder of packs over HTTP and gRPC."),
    "push": ("edgepack.runtime.serve.cli:push", "Prove a pack and put it into a folder of models as a new version."),
    "rollback": ("edgepack.runtime.serve.cli:rollback", "Let the version before the one that answers answer again."),
    "choose": ("edgepack.runtime.choose_cli:choose", "Find the fastest way to run a pack on this device."),
    "bench": ("edgepack.benchmarks.cli:bench", "Measure every variant, engine and thread count on this device."),
    "bench-diff": ("edgepack.benchmarks.cli:diff", "Compare two reports of bench."),
    "devices": ("edgepack.runtime.cli:devices", "Show this device, its engines and providers."),
}
_OPTIONS = ("--help", "-h", "--version", "--install-completion")


def make_app() -> App:
    """The command with its lazily imported sub-commands."""
    app = App(
        name="edgepack",
        help="From a Keras model to the fastest file that is still right, on the device in front of you.",
        help_format="plaintext",  # Markdown would cost a fifth of the time that --help takes
        version=__version__,
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
        result_action="return_value",
        help_on_error=False,
    )
    for name, (place, text) in _COMMANDS.items():
        app.command(place, name=name, help=text)
    app.register_install_completion_command(name="--install-completion")
    return app


def run(arguments: list[str]) -> int:
    """Run one command line; raises `EdgepackError` for what the user can mend. Returns the exit code."""
    if arguments and arguments[0] not in {*_COMMANDS, *_OPTIONS}:
        # Asked first: cyclopts would import every sub-command to word its own error.
        kind = "option" if arguments[0].startswith("-") else "command"
        return _wrong_usage(f"unknown {kind} {arguments[0]!r}{_closest(arguments[0])}")
    try:
        result = make_app()(arguments)
    except CycloptsError as error:
        return _wrong_usage(" ".join(str(error).split()))
    return int(result or 0)


def _wrong_usage(text: str) -> int:
    sys.stderr.write(f"edgepack: {text}\nedgepack: see edgepack --help\n")
    return 2


def _closest(word: str) -> str:
    near = get_close_matches(word, (*_COMMANDS, *_OPTIONS), n=1)
    return f"; did you mean {near[0]!r}?" if near else f" (known: {', '.join(_COMMANDS)})"
