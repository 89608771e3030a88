"""The benchmark in its quick mode: the same work on both sides, one matrix in NT-Xent. Speed is for a run by hand."""
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "selfsup.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("selfsup_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_quick_lines(benchmark):
    found = [benchmark.views(True, 1), *(benchmark.frozen(True, 1, adapter) for adapter in (False, True))]
    assert [line.name for line in found] == list(benchmark.TARGETS)[:3]
    assert all(line.theirs > 0 and line.ours > 0 for line in found)
    assert not benchmark.Line("two_views", "", 9.0, 1.0).met and benchmark.Line("two_views", "", 11.0, 1.0).met


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is read from Linux")
def test_nt_xent_holds_no_second_matrix(benchmark):
    line = benchmark.memory(quick=True)
    assert line.ours < 1.5 < 2.5 < line.theirs and line.met


def test_it_asks_for_one_thread():
    run = subprocess.run([sys.executable, SCRIPT, "--quick"], capture_output=True, text=True,
                         env={**os.environ, "OMP_NUM_THREADS": "2"})
    assert run.returncode == 2 and "OMP_NUM_THREADS=1" in run.stderr
