"""The command line: what it prints, what it writes, what it refuses, and its exit codes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import asymptotics as asy
from asymptotics import cli, console, studies
from tests.toy import Toy

ROOT = Path(__file__).parents[1]
GIANT_STEP = ('{"activation":"tanh","target":"sin","alpha0":20,"eta":3,"alpha":[0.2,3.0],"lam":0.1,'
              '"model":"isotropic"}')


def command(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "asymptotics", *arguments], cwd=ROOT, text=True, capture_output=True,
                          timeout=60, **options)


@pytest.fixture
def run(toy: type[Toy], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command line in this process, in an empty directory; returns code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(arguments)
        return code, *capsys.readouterr()

    return call


# ---- as a subprocess


def test_the_figure_of_the_contract() -> None:
    done = command("predict", "giant-step", "--params", GIANT_STEP, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert set(answer) == {"theory", "version", "parameters", "observables", "converged", "residual"}
    np.testing.assert_allclose(answer["observables"]["test_error"], [0.0484829019195, 0.0325182080146], rtol=1e-9)
    assert answer["converged"] == [True, True]
    assert answer["parameters"]["beta"] == 1.0
    assert max(answer["residual"]) < 1e-10


def test_bad_input_is_one_line_and_exit_code_2() -> None:
    done = command("predict", "giant-step", "--params", GIANT_STEP, "--set", "lam=-1")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "error: lam: must be >= 0, got -1\n")


def test_a_study_runs_from_the_command_line(tmp_path: Path) -> None:
    study = tmp_path / "a.toml"
    study.write_text('theory = "giant-step"\n[parameters]\nactivation = "tanh"\ntarget = "sin"\nalpha0 = 4\neta = 1\n'
                     'lam = 0.1\n[axes]\nalpha = [1.0, 2.0]\n[output]\ntable = "a.csv"\n')
    done = command("run", str(study), "--output-dir", str(tmp_path / "out"))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"wrote {tmp_path / 'out' / 'a.csv'}\n", "")


def test_a_reader_that_leaves_is_no_error() -> None:
    process = subprocess.Popen([sys.executable, "-m", "asymptotics", "describe", "giant-step"], cwd=ROOT,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.wait(30) == console.BROKEN_PIPE
    assert process.stderr.read() == b""
    process.stderr.close()


def test_listing_is_fast() -> None:
    start = time.perf_counter()
    done = command("list")
    assert time.perf_counter() - start < 1.5
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(asy.THEORIES)


def test_the_command_line_loads_nothing_heavy() -> None:
    code = ("import sys; from asymptotics.cli import main\n"
            f"main(['predict', 'giant-step', '--params', '{GIANT_STEP}'])\n"
            "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"sympy", "matplotlib", "xarray", "pandas", "tqdm"} & set(done.stderr.split())


# ---- list and describe


def test_list_names_every_theory(run: Any) -> None:
    code, out, err = run("list")
    assert (code, err) == (0, "")
    assert [line.split(maxsplit=1) for line in out.splitlines()][-1] == ["toy", "A toy"]


def test_describe_says_what_is_declared(run: Any) -> None:
    code, out, err = run("describe", "toy")
    assert (code, err) == (0, "")
    assert out.startswith("toy: A toy\nsource: Nobody (1900)\n")
    for name, parameter in Toy.parameters.items():
        line = next(line for line in out.splitlines() if line.split()[:1] == [name])
        assert parameter.range in line
        assert parameter.symbol in line
        assert parameter.meaning in out
    for name, observable in Toy.prediction.observables.items():
        assert any(line.split()[:1] == [name] for line in out.splitlines())
        assert observable.meaning in out
    assert "(inf at alpha = 1, lam = 0)" in out
    assert "required" in next(line for line in out.splitlines() if line.startswith("  alpha"))
    assert "null" in next(line for line in out.splitlines() if line.startswith("  n "))
    assert "degree" in next(line for line in out.splitlines() if line.startswith("  spectrum"))


@pytest.mark.parametrize("slug", list(asy.THEORIES))
def test_every_theory_can_be_described(run: Any, slug: str) -> None:
    assert run("describe", slug)[0] == 0


# ---- predict


def test_predict_prints_a_table(run: Any) -> None:
    code, out, err = run("predict", "toy", "--params", '{"alpha": [1, 2], "lam": [[0.5], [1]]}')
    assert (code, err) == (0, "")
    head, *lines = out.splitlines()
    assert head.split() == ["lam", "alpha", "test_error", "fit_error", "noise_error", "floor", "spectrum[0]",
                            "spectrum[1]", "converged", "residual"]
    assert len(lines) == 4
    assert lines[1].split()[:5] == ["0.5", "2", "1.3", "0.8", "0.5"]
    assert len({len(line) for line in (head, *lines)}) == 1


def test_one_cell_is_printed_with_meanings(run: Any) -> None:
    code, out, _ = run("predict", "toy", "--set", "alpha=1", "--set", "lam=1")
    assert code == 0
    assert any(line.split() == ["fit_error", "1", "error", "of", "the", "fit"] for line in out.splitlines())


def test_predict_computes_what_is_asked_for(run: Any) -> None:
    problem = {"activation": "tanh", "target": "sin", "alpha0": 2, "eta": 1, "alpha": [1, 2], "lam": 0.1}
    given = ["predict", "giant-step", "--params", json.dumps(problem), "--observables", "train_error,q1"]
    code, out, _ = run(*given)
    assert code == 0 and out.splitlines()[0].split() == ["alpha", "train_error", "q1", "converged", "residual"]
    code, out, _ = run(*given, "--json")
    assert set(json.loads(out)["observables"]) == {"train_error", "q1"}
    assert run(*given[:-1], "train_eror")[0] == 2


def test_components_that_are_not_defined_are_not_printed(run: Any) -> None:
    given = {"activation": "tanh", "target_coefficients": [0, 1, 0.2], "d": 200, "p": 100, "n": 300, "n0": 400,
             "eta": 2, "lam": [0.1, 1.0]}
    code, out, _ = run("predict", "polynomial-spikes", "--params", json.dumps(given))
    header = out.splitlines()[0]
    assert code == 0 and "learned_fraction[1]" in header and "learned_fraction[0]" not in header
    assert "singular_values[0]" in header and "singular_values[7]" not in header


def test_tables_fit_the_screen(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    _, out, _ = run("predict", "toy", "--params", json.dumps({"alpha": list(range(1, 101)), "lam": 20}))
    lines = out.splitlines()
    assert max(map(len, lines)) <= 60
    assert lines[0].split()[0] == "alpha"
    assert "... 60 more rows ..." in lines
    assert len(lines) < 150


def test_parameters_come_from_files_and_standard_input(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.json").write_text('{"alpha": 2, "lam": 0.5}')
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"alpha": 2, "lam": 0.5}'))
    inline, file, stdin = (run("predict", "toy", "--params", text, "--json")
                           for text in ('{"alpha": 2, "lam": 0.5}', "@a.json", "-"))
    assert inline == file == stdin
    assert json.loads(inline[1])["observables"]["fit_error"] == 0.8


def test_settings_are_json_or_else_strings(run: Any) -> None:
    settings = ["lam=[1, 2]", "model=double", 'activation="relu"', "exact=false", "n=null"]
    options = [option for setting in settings for option in ("--set", setting)]
    code, out, _ = run("predict", "toy", "--params", '{"alpha": 1, "lam": 9}', *options, "--json")
    assert code == 0
    parameters = json.loads(out)["parameters"]
    assert parameters["lam"] == [1.0, 2.0]
    assert parameters["model"] == "double"
    assert parameters["activation"] == "relu"
    assert parameters["exact"] is False
    assert list(parameters) == ["alpha", "lam", "shift", "n", "activation", "levels", "weights", "model", "exact"]


def test_json_has_neither_nan_nor_infinity(run: Any) -> None:
    code, out, err = run("predict", "toy", "--params", '{"alpha": [1, 13, 2], "lam": 0}', "--json")
    assert code == 3
    answer = json.loads(out, parse_constant=lambda text: pytest.fail(text))
    assert answer["observables"]["test_error"][:2] == ["inf", None]
    assert answer["observables"]["spectrum"][1] == [None, None]
    assert answer["converged"] == [True, False, True]
    assert err.splitlines() == ["warning: the test error diverges at alpha = 1, lam = 0",
                                "warning: 1 of 3 cells did not converge and are NaN"]


def test_everything_is_written_also_if_a_cell_fails(run: Any, tmp_path: Path) -> None:
    code, out, err = run("predict", "toy", "--params", '{"alpha": [1.5, 13, 2], "lam": 0.1}', "--csv", "a.csv",
                         "--netcdf", "a.nc", "--plot", "a.png")
    assert code == 3
    assert len(err.splitlines()) == 1
    assert out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.nc", "a.png"]
    with pytest.warns(asy.AccuracyWarning):
        expected = Toy(alpha=[1.5, 13, 2], lam=0.1).solve()
    with xr.open_dataset(tmp_path / "a.nc", engine="scipy") as stored:
        xr.testing.assert_identical(stored.load(), expected.to_dataset())
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[:2] == ["# theory: toy", f"# version: {asy.__version__}"]
    assert json.loads(lines[2].removeprefix("# parameters: "))["lam"] == 0.1
    assert lines[3] == "alpha,test_error,fit_error,noise_error,floor,spectrum[0],spectrum[1],converged,residual"
    assert float(lines[4].split(",")[1]) == expected.test_error[0]
    assert lines[5] == "13.0,nan,nan,nan,nan,nan,nan,False,1.3e-15"


def test_strings_in_tables_are_quoted(run: Any, tmp_path: Path) -> None:
    import pandas

    from asymptotics.tables import write_csv

    write_csv(tmp_path / "a.csv", {"activation": ["tanh(x, 1)", 'a "b"'], "value": [1.0, 2.0]}, {"theory": "toy"})
    frame = pandas.read_csv(tmp_path / "a.csv", comment="#")
    assert frame["activation"].tolist() == ["tanh(x, 1)", 'a "b"']


def test_plots_of_two_axes(run: Any, tmp_path: Path) -> None:
    rows = json.dumps({"alpha": [[1.5], [2.0]], "lam": [0.1, 0.2, 0.3]})
    assert run("predict", "toy", "--params", rows, "--plot", "a.pdf")[0] == 0
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


# ---- bad input

DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "lam=-1"], "lam: must be >= 0, got -1"),
        (["--set", "lma=1"], "lma: is not a known parameter of toy; did you mean 'lam'?"),
        (["--set", "self=1"], "self: is not a known parameter of toy"),
        (["--set", "lam"], "--set: must be NAME=VALUE, got 'lam'"),
        (["--set", "=1"], "--set: must be NAME=VALUE, got '=1'"),
        (["--set", "lam=NaN"], "lam: must be a number >= 0, got 'NaN'"),
        (["--set", "lam=1e999"], "lam: must be a finite number, got inf"),
        (["--set", 'levels={"a": 1, "a": 2}'], "a: is given twice"),
        (["--set", "activation=" + "x+" * 50_000 + "x"], "activation: "),
        (["--set", "activation=__import__('os').system('true')"], "activation: "),
        (["--set", "activation=tanhh"], "activation: "),
        (["--set", "lam=" + DEEP], "input: is nested too deeply"),
        (["--set", "y" * 100_000 + "=1"], "yyyy"),
        (["--set", "evil\n\x1b[2Jname=1"], "evil"),
        (["--params", "{"], "--params: is not valid JSON"),
        (["--params", "[1]"], "--params: must be a JSON object such as {\"alpha\": 2}, got list"),
        (["--params", '{"alpha": 1, "lam": 1, "lam": 2}'], "lam: is given twice"),
        (["--params", '{"alpha": 1, "lam": NaN}'], "--params: is not valid JSON (NaN is not a JSON number)"),
        (["--params", '{"alpha": 1, "lam": -Infinity}'], "--params: is not valid JSON (-Infinity is not"),
        (["--params", '{"alpha": [1, 2], "lam": [1, 2, 3]}'], "lam: must broadcast"),
        (["--params", '{"alpha": ' + DEEP + "}"], "input: is nested too deeply"),
        (["--params", '{"alpha": ' + "9" * 10_000 + "}"], "--params: is not valid JSON (Exceeds the limit"),
        (["--params", '{"alpha": 1}'], "lam: is required (ridge penalty)"),
        (["--params", "@missing.json"], "missing.json: cannot be read (No such file or directory)"),
        (["--params", "@."], ".: cannot be read (Is a directory)"),
        (["--params", "@bad.json"], "bad.json: cannot be read ('utf-8' codec"),
        (["--params"], "--params: expected one argument"),
        (["--nonsense"], "usage: unrecognized arguments: --nonsense"),
        (["--csv", "missing/a.csv"], "--csv: cannot write missing/a.csv (no directory"),
        (["--csv", "."], "--csv: cannot write . (it is a directory)"),
        (["--csv", "/dev/null"], "--csv: cannot write /dev/null (it is not a writable file)"),
        (["--csv", ""], "--csv: cannot write"),
        (["--csv", "a" * 300], "--csv: cannot write aaa"),
        (["--csv", "a.x", "--netcdf", "./a.x"], "--csv: must not be the same file as another output"),
        (["--netcdf", "missing/a.nc"], "--netcdf: cannot write missing/a.nc (no directory"),
        (["--plot", "a.jpg"], "--plot: must end in .png or .pdf, got a.jpg"),
        (["--plot", "a.png"], "--plot: needs an axis of more than one number, there is none"),
        (["--plot", "a.png", "--set", "alpha=" + json.dumps([[[i]] for i in range(1, 10)]), "--set",
          "lam=" + json.dumps([[i] for i in range(9)]), "--set", "shift=" + json.dumps(list(range(9)))],
         "--plot: would have 81 lines, more than 60"),
    ],
)
def test_bad_input_is_refused_in_one_line(run: Any, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "bad.json").write_bytes(b"\xff\xff")
    code, out, err = run("predict", "toy", "--params", '{"alpha": 1, "lam": 1}', *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.endswith("\n")
    assert err[:-1].isprintable()
    assert len(err) < 500
    assert [path.name for path in tmp_path.iterdir()] == ["bad.json"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "usage: the following arguments are required: COMMAND"),
        (["lits"], "COMMAND: invalid choice: 'lits'"),
        (["describe"], "usage: the following arguments are required: THEORY"),
        (["describe", "tyo"], "theory: 'tyo' is not known; did you mean 'toy'?"),
        (["predict", "giant-stpe"], "theory: 'giant-stpe' is not known; did you mean 'giant-step'?"),
        (["run", "missing.toml"], "missing.toml: cannot be read (No such file or directory)"),
        (["run", "bad.toml"], "bad.toml: cannot be read (Invalid value (at line 1, column 10))"),
        (["run", "wrong.toml"], "axes.alpha: must be > 0, got -1 at index (0,)"),
        (["run", "good.toml", "--output-dir", "bad.toml"], "output directory: cannot create bad.toml"),
        (["run", "good.toml", "--workers", "0"], "workers: must be a whole number >= 1, got 0"),
        (["run", "good.toml", "--workers", "x"], "--workers: invalid int value: 'x'"),
        (["run", "good.toml", "--workers", "2", "--scheduler", "tcp://a:1"], "scheduler: excludes workers"),
        (["run", "good.toml", "--store", "bad.toml"], "store: bad.toml is not a directory"),
        (["run", "good.toml", "--store", "."], "store: . is not a store: it holds bad.toml"),
    ],
)
def test_bad_commands_and_studies_are_refused_in_one_line(
    run: Any, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "bad.toml").write_text("theory = = 1")
    (tmp_path / "wrong.toml").write_text('theory = "toy"\n[axes]\nalpha = [-1.0]\n[parameters]\nlam = 1.0')
    (tmp_path / "good.toml").write_text('theory = "toy"\n[axes]\nalpha = [1.0]\n[parameters]\nlam = 1.0\n'
                                        '[output]\ntable = "a.csv"')
    before = sorted(tmp_path.iterdir())
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert len(err.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_directory_without_permission_is_refused(run: Any, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "locked").mkdir(mode=0o500)
    code, _, err = run("predict", "toy", "--params", '{"alpha": 1, "lam": 1}', "--csv", "locked/a.csv")
    assert code == 2
    assert err == "error: --csv: cannot write locked/a.csv (Permission denied)\n"


def test_an_existing_file_is_kept_when_writing_fails(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_text("old")

    def full(*rest: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("asymptotics.tables.csv.writer", full)
    code, out, err = run("predict", "toy", "--params", '{"alpha": 1, "lam": 1}', "--csv", "a.csv")
    assert (code, out) == (2, "")
    assert err == "error: output: No space left on device\n"
    assert (tmp_path / "a.csv").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_links_are_followed_not_replaced(run: Any, tmp_path: Path) -> None:
    (tmp_path / "target.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("target.csv")
    assert run("predict", "toy", "--params", '{"alpha": 1, "lam": 1}', "--csv", "link.csv")[0] == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "target.csv").read_text().startswith("# theory: toy")


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 130), (MemoryError, 2)])
def test_interruptions_are_quiet(run: Any, monkeypatch: pytest.MonkeyPatch, error: type, code: int) -> None:
    def stop(*rest: Any) -> None:
        raise error

    monkeypatch.setattr(Toy, "_solve", stop)
    found, out, err = run("predict", "toy", "--params", '{"alpha": 1, "lam": 1}')
    assert (found, out) == (code, "")
    assert len(err.splitlines()) == (code == 2)


# ---- run


def test_run_prints_the_table_if_nothing_is_written(run: Any, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('theory = "toy"\n[parameters]\nlam = 1.0\n[axes]\nalpha = [1.0, 2.0]\n')
    code, out, err = run("run", "a.toml")
    assert (code, err) == (0, "")
    assert out.splitlines()[0].split()[:2] == ["alpha", "test_error"]
    assert len(list(tmp_path.iterdir())) == 1


def test_run_shows_networks_beside_the_theory(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def simulator(problem: Toy, sizes: dict[str, int], seed: np.random.SeedSequence) -> dict[str, float]:
        return {"test_error": float(np.random.default_rng(seed).random())}

    monkeypatch.setattr("asymptotics.studies.execution.find_simulator", lambda slug: simulator)
    (tmp_path / "a.toml").write_text('theory = "toy"\n[parameters]\nlam = 1.0\n[axes]\nalpha = [1.0, 2.0]\n'
                                     '[simulation]\nd = 9\nseeds = 2\npoints = { alpha = [1.5] }\n')
    code, out, err = run("run", "a.toml", "--output-dir", "out")
    assert (code, err) == (0, "")
    assert "standard_error" in out
    assert f"wrote {Path('out') / 'a_simulation.csv'}" in out.splitlines()


def test_run_tells_of_failed_cells(run: Any, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('theory = "toy"\n[parameters]\nlam = 1.0\n[axes]\nalpha = [1.0, 13.0]\n'
                                     '[output]\ntable = "a.csv"\n')
    code, out, err = run("run", "a.toml")
    assert code == 3
    assert err == "warning: 1 of 2 cells did not converge and are NaN\n"
    assert out == "wrote a.csv\n"
    assert (tmp_path / "a.csv").exists()


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.toml")), ids=lambda path: path.stem)
def test_every_example_is_a_valid_study(path: Path) -> None:
    assert studies.load(path).output.plot
