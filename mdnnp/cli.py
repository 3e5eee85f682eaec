"""The command `mdnnp`: each verb calls the module that does its work."""

import json
import os
import sys
import warnings

from mdnnp.arguments import parser
from mdnnp.errors import InputError, MdnnpError, MdnnpWarning, Mistakes
from mdnnp.streams import discard_stdout, printable, safe_streams


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    with safe_streams(), warnings.catch_warnings():
        warnings.showwarning = _show_warning
        warnings.simplefilter("always", MdnnpWarning)
        try:
            arguments = parser().parse_args(argv or ["--help"])
            status = _VERBS[arguments.verb](arguments) or 0
            sys.stdout.flush()
            return status
        except KeyboardInterrupt:
            print("\nerror: interrupted", file=sys.stderr)
            return 130
        except BrokenPipeError:  # the reader of our output has gone, as with `| head`
            discard_stdout()
            return 1
        except Exception as error:
            if os.environ.get("MDNNP_DEBUG") == "1":
                raise
            return _report(error)


def _report(error: Exception) -> int:
    """Print an error in the form `error: ...`; returns the exit status."""
    if isinstance(error, MdnnpError):
        message, status = str(error), error.exit_code
    elif isinstance(error, OSError):
        message, status = f"{error.filename or 'file'}: {error.strerror or error}", 4
    elif isinstance(error, UnicodeEncodeError):  # a name of a file; what is printed is never refused
        encoding = sys.getfilesystemencoding()
        message = f"{error.object!a:.300}: names of files are {encoding} here; set LC_ALL=C.UTF-8, or rename the file"
        status = 4
    elif isinstance(error, MemoryError):
        message, status = f"not enough memory: {error}" if str(error) else "not enough memory", 1
    else:
        message = (
            f"internal error, {type(error).__name__}: {error}; this is a bug of mdnnp, please report it "
            "(MDNNP_DEBUG=1 in the environment shows where it happened)"
        )
        status = 1
    first, *rest = message.split("\n")
    print(f"error: {printable(first)}", file=sys.stderr)
    more = "error" if isinstance(error, Mistakes) else "note"
    for line in rest:
        print(printable(line if line.startswith(" ") else f"{more}: {line}"), file=sys.stderr)
    return status


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    if issubclass(category, MdnnpWarning):
        print(printable(f"warning: {message}"), file=sys.stderr)
    elif os.environ.get("MDNNP_DEBUG") == "1":
        print(warnings.formatwarning(message, category, filename, lineno, line), file=sys.stderr, end="")


# Verbs ------------------------------------------------------------------------------------------


def _run(arguments) -> int:
    from mdnnp.config import read_config

    config = read_config(arguments.input)
    from mdnnp.run import run
    from mdnnp.trajectory import WriteError, exit_at_once

    _use_threads(arguments)
    hooks = sys.excepthook, sys.unraisablehook
    sys.excepthook, sys.unraisablehook = map(_without_hdf5, hooks)
    try:
        return run(config, resume=arguments.resume, overwrite=arguments.overwrite).exit_code
    except WriteError as error:
        exit_at_once(_report(error))
    finally:
        sys.excepthook, sys.unraisablehook = hooks


def _train(arguments) -> int:
    from mdnnp.train_config import read_train_config

    config = read_train_config(arguments.input)
    from mdnnp.train import train

    _use_threads(arguments)
    train(config, resume=arguments.resume, overwrite=arguments.overwrite)
    return 0


def _predict(arguments) -> int:
    _check_outputs(arguments, [arguments.output], arguments.structures)
    potential = _load(arguments)
    from mdnnp.predict import HEADER, predict, table_row
    from mdnnp.structures import read_structures, write_structures
    from mdnnp.training.accuracy import ErrorTally, brief
    from mdnnp.training.dataset import labelled

    _use_threads(arguments)
    units = _data_units(arguments)
    structures = [s for path in arguments.structures for s in read_structures(path, arguments.index, *units)]
    print(HEADER)
    predictions, tally = [], ErrorTally(potential)
    for prediction in predict(potential, structures):
        print(table_row(prediction), flush=True)
        tally.add(labelled(prediction.structure), prediction.results)
        if arguments.output:
            predictions.append(prediction.labelled())
    errors = brief(tally.errors())
    if errors:
        print("\nErrors against the reference values in the files")
        print("\n".join(errors))
    if arguments.output:
        write_structures(arguments.output, predictions, format="extxyz", overwrite=arguments.overwrite)
        print(f"\nWritten: {arguments.output}")
    return 0


def _evaluate(arguments) -> int:
    _check_outputs(arguments, [arguments.output], arguments.data)
    potential = _load(arguments)
    from mdnnp.training.accuracy import evaluate, table
    from mdnnp.training.dataset import stream_labelled

    _use_threads(arguments)
    structures = stream_labelled(arguments.data, *_data_units(arguments))
    errors = evaluate(potential, _with_progress(structures, arguments.data), by=arguments.by)
    print(json.dumps(errors.as_dict(), indent=2) if arguments.json else table(errors))
    if arguments.output:
        from mdnnp.training.report import provenance, write_report

        settings = {"potential": arguments.potential, "data": " ".join(arguments.data)} | provenance()
        write_report(arguments.output, {"data": errors}, provenance=settings, overwrite=arguments.overwrite)
        print(f"Written: {arguments.output}", file=sys.stderr if arguments.json else sys.stdout)
    return 0


def _with_progress(structures, paths):
    """The structures, with a bar and the remaining time on a terminal."""
    if not sys.stderr.isatty():
        return structures
    from tqdm import tqdm

    from mdnnp.structures import count_structures

    return tqdm(structures, total=count_structures(paths), unit="structure", leave=False, delay=1.0)


def _descriptors(arguments) -> int:
    from mdnnp.training.dataset import read_labelled
    from mdnnp.training.proposal import as_dict, propose, text

    structures = read_labelled(arguments.data, arguments.length_unit, arguments.energy_unit)
    proposal = propose(
        structures,
        arguments.cutoff,
        arguments.number,
        max_zeta=arguments.max_zeta,
        method=arguments.method,
    )
    print(json.dumps(as_dict(proposal), indent=2) if arguments.json else text(proposal))
    return 0


def _convert(arguments) -> int:
    from pathlib import Path

    from mdnnp.files import check_distinct
    from mdnnp.potentials.load import potential_files

    source = Path(arguments.input)
    check_distinct([arguments.output], potential_files(source))
    if source.is_dir():
        from mdnnp.n2p2 import read_potential, write_potential
        from mdnnp.n2p2.reader import TERMS_FILE

        model = read_potential(source, arguments.length_unit, arguments.energy_unit)
        terms = (source / TERMS_FILE).read_bytes() if (source / TERMS_FILE).exists() else None
        write_potential(model, arguments.output, overwrite=arguments.overwrite, terms=terms)
        what = f"potential ({' '.join(model.elements)}; {model.length_unit}, {model.energy_unit})"
    else:
        from mdnnp.structures import read_structures, write_structures

        units = {"length_unit": arguments.length_unit, "energy_unit": arguments.energy_unit}
        structures = read_structures(source, arguments.index, **units)
        write_structures(arguments.output, structures, format=arguments.format, overwrite=arguments.overwrite, **units)
        what = f"{len(structures)} structure{'s' * (len(structures) != 1)}"
    print(f"Written: {arguments.output}, {what}")
    return 0


def _info(arguments) -> int:
    potential = _load(arguments)
    print("\n".join(potential.describe()))
    return 0


def _init(arguments) -> int:
    from mdnnp.init import reference, write_starting_files

    if arguments.reference:
        print(reference())
        return 0
    paths = write_starting_files(arguments.kind, arguments.output)
    print("Written: " + ", ".join(str(p) for p in paths))
    print(f"Next:    mdnnp run {paths[0]}" if len(paths) > 1 else f"Next:    fill in {paths[0]}")
    return 0


def _analyze(arguments) -> int:
    from mdnnp.analyze import main as analyze

    return analyze(arguments)


def _load_both(arguments):
    """The potential, and the structure that it is asked about."""
    potential = _load(arguments)
    from mdnnp.structures import read_structures

    _use_threads(arguments)
    (structure,) = read_structures(arguments.structure, arguments.index, *_data_units(arguments))
    return potential, structure


def _check(arguments) -> int:
    from mdnnp.check import check, progress

    potential, structure = _load_both(arguments)
    with progress() as begin:
        report = check(potential, structure.system, begin=begin)
    print(report.to_json() if arguments.json else report.table())
    return report.exit_code


def _bench(arguments) -> int:
    import json

    from mdnnp.bench import Bar, Case, Options, bench, find_lammps, table
    from mdnnp.jit import available_cores
    from mdnnp.potentials.load import load_potential
    from mdnnp.structures import read_structures

    if len(arguments.inputs) % 2:
        raise InputError(f"{arguments.inputs[-1]}: a potential and a structure belong together; give pairs of them")
    units, of_data = (arguments.length_unit, arguments.energy_unit), _data_units(arguments)
    given = []
    for path, file in zip(arguments.inputs[::2], arguments.inputs[1::2], strict=True):
        potential, (structure,) = load_potential(path, *units), read_structures(file, arguments.index, *of_data)
        given.append(Case(f"{path} {file}", potential, structure.system, structure.masses))
    options = Options(
        given=tuple(given),
        lammps=find_lammps(arguments.lammps),
        threads=arguments.threads or available_cores(),
        first=arguments.cold,
        large=arguments.large,
    )
    bar = Bar()
    try:
        record = bench(options, bar)
    finally:
        bar.close()
    print(json.dumps(record, indent=1) if arguments.json else table(record))
    return 0


def _smooth(arguments) -> int:
    _check_outputs(arguments, [arguments.output], [arguments.structure])
    from mdnnp.smooth import main as smooth

    potential, structure = _load_both(arguments)
    return smooth(arguments, potential, structure)


def _relax(arguments) -> int:
    _check_outputs(arguments, [arguments.output, arguments.trajectory], [arguments.structure])
    from mdnnp.relax import main as relax
    from mdnnp.steps import check_steps_file
    from mdnnp.structures import check_writable_format

    check_writable_format(arguments.output)
    check_steps_file(arguments.trajectory, arguments.overwrite)
    potential, structure = _load_both(arguments)
    return relax(arguments, potential, structure)


def _saddle(arguments) -> int:
    from mdnnp.barrier import check_outputs, outputs
    from mdnnp.barrier import main as saddle

    _check_outputs(arguments, outputs(arguments), [arguments.structure, arguments.to])
    check_outputs(arguments)
    potential, structure = _load_both(arguments)
    final = None
    if arguments.to:
        from mdnnp.structures import read_structures

        (final,) = read_structures(arguments.to, -1, *_data_units(arguments))
    return saddle(arguments, potential, structure, final)


def _phonons(arguments) -> int:
    from mdnnp.files import check_distinct
    from mdnnp.phonons import main as phonons
    from mdnnp.potentials.load import potential_files

    check_distinct([arguments.output], [arguments.structure, *potential_files(arguments.potential)])
    potential, structure = _load_both(arguments)
    return phonons(arguments, potential, structure)


def _properties(arguments) -> int:
    from mdnnp.properties.main import main as properties

    potential, structure = _load_both(arguments)
    return properties(arguments, potential, structure)


def _without_hdf5(hook):
    """A hook for exceptions that nobody catches, without those of HDF5 objects that are freed after a failed write.

    Each of them complains once more, while the failure itself is reported.
    """

    def filtered(*details):
        error = details[0].exc_value if len(details) == 1 else details[1]
        if "Can't decrement id ref count" not in str(error):
            hook(*details)

    return filtered


def _load(arguments):
    from mdnnp.potentials.load import load_potential

    return load_potential(arguments.potential, arguments.length_unit, arguments.energy_unit)


def _data_units(arguments) -> tuple[str | None, str | None]:
    """Units of length and energy of input.data: those of the potential, unless they are given."""
    return arguments.data_length_unit or arguments.length_unit, arguments.data_energy_unit or arguments.energy_unit


def _use_threads(arguments) -> None:
    from mdnnp.jit import available_cores, set_threads

    set_threads(arguments.threads or available_cores())


def _check_outputs(arguments, outputs, inputs) -> None:
    """Refuse, before any work is done, outputs that would replace an input, exist or could not be written."""
    from pathlib import Path

    from mdnnp.files import check_distinct, check_writable
    from mdnnp.potentials.load import potential_files

    check_distinct(outputs, [*inputs, *potential_files(arguments.potential)])
    for path in filter(None, outputs):
        check_writable(Path(path), overwrite=arguments.overwrite, instead="choose another name, or give --overwrite")


_VERBS = {
    "analyze": _analyze,
    "bench": _bench,
    "check": _check,
    "convert": _convert,
    "descriptors": _descriptors,
    "evaluate": _evaluate,
    "info": _info,
    "init": _init,
    "phonons": _phonons,
    "predict": _predict,
    "properties": _properties,
    "relax": _relax,
    "run": _run,
    "saddle": _saddle,
    "smooth": _smooth,
    "train": _train,
}
