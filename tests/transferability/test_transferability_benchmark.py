"""The benchmark in its quick mode: the values of both sides agree. Speed is for a run by hand."""
import importlib.util
import math
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "transferability.py"


def test_the_quick_benchmark_agrees():
    spec = importlib.util.spec_from_file_location("transferability_benchmark", SCRIPT)
    benchmark = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = benchmark
    spec.loader.exec_module(benchmark)
    lines = list(benchmark.lines(quick=True, repeats=1))
    assert all(line.agrees for line in lines), [line for line in lines if not line.agrees]
    assert set(benchmark.TARGETS) <= {line.name for line in lines}
    assert not benchmark.Line("a", "", 1.0, 1.0, 1.0, (1.0, 1.1), 1e-3).agrees
    assert all(line.floor_s >= 0 and (math.isnan(line.ratio) or line.ratio > 0) for line in lines)


def test_it_asks_for_one_thread():
    run = subprocess.run([sys.executable, SCRIPT, "--quick"], capture_output=True, text=True,
                         env={**os.environ, "OMP_NUM_THREADS": "2"})
    assert run.returncode == 2 and "OMP_NUM_THREADS=1" in run.stderr
