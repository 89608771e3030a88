# What Transfers? Two commands matter: make book, make test. The rest is listed by make help.
PYTHON       ?= python3
REQUIREMENTS ?= requirements.txt
UV           ?= $(shell command -v uv 2>/dev/null)
TORCH        ?=
PORT         ?= 8000
ENVIRONMENTS ?= _build/environments
export JUPYTER_PREFER_ENV_PATH = 1
export UV
# what a user names reaches a command as it was written, quoted by the shell: "$$CH"
export PORT ENVIRONMENTS
# the package of this folder comes first, also where the environment was made in another one (moved, copied, renamed)
export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))

ifeq ($(filter help clean distclean,$(MAKECMDGOALS))$(wildcard $(REQUIREMENTS)),)
  $(error There is no $(REQUIREMENTS) here; make freeze writes requirements.lock, and requirements.txt came with the book)
endif

PY       := .venv/bin/python
CHAPTERS  = $(wildcard chapters/[0-9][0-9]_*.ipynb)
# The environment is ready when this file exists; its name changes with the content of the two files.
READY    := .venv/ready-$(shell cat $(REQUIREMENTS) pyproject.toml | cksum | cut -d' ' -f1)

NAMED    := $(if $(filter file,$(origin PYTHON)),,named)

ifeq ($(filter-out 0 no,$(UV)),)
  TOOL    := pip
  VENV     = $(PYTHON) -m venv .venv
  INSTALL  = $(PY) -m pip install --quiet
else
  TOOL    := uv
  # python3 where it is new enough, else uv finds or brings one; with pip in it, for notebooks and contributors
  WANTED   = $(if $(NAMED),$(PYTHON),$(shell $(PYTHON) -c $(NEW) 2>/dev/null && echo $(PYTHON) || echo '>=3.11'))
  NEW      = 'import sys; sys.exit(sys.version_info < (3, 11))'
  VENV     = $(UV) venv --quiet --allow-existing --seed --python '$(WANTED)' .venv
  INSTALL  = $(UV) pip install --quiet --python $(PY)
endif

# An environment whose Python went (an update of the system, a folder that came from elsewhere) cannot mend itself.
ifneq ($(and $(wildcard .venv/ready-*),$(filter-out help clean distclean,$(MAKECMDGOALS))),)
  ifneq ($(shell $(PY) -c 'print("starts")' 2>/dev/null),starts)
    $(error The Python of .venv does not start. Make the environment anew:  make distclean, then make book)
  endif
endif

.PHONY: help book test check bench hooks pdf linkcheck test-colab test-oldest test-newest run results new repo report mutate normalise freeze lab serve clean distclean environment
.DEFAULT_GOAL := help

help:  ## this list
	@echo "make book, then make test. All of it:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo "Variables: PYTHON=python3.12   UV=0 (use pip)   TORCH=cpu (small download)   REQUIREMENTS=requirements.lock"
	@echo "           CH=02 (a chapter)   SCALE=full (of make run)   PORT=8123 (of make serve)"

environment: $(READY)  ## .venv with everything in it (the other commands call it)

$(READY):
	@if command -v $(PYTHON) >/dev/null 2>&1; then $(PYTHON) tools/preflight.py $(TOOL) $(TORCH) $(NAMED); \
	elif [ $(TOOL) = pip ]; then echo "There is no $(PYTHON) here: install Python 3.11 or newer, or uv." >&2; exit 1; fi
	@mkdir -p .venv && if kill -0 "$$(cat .venv/making 2>/dev/null)" 2>/dev/null; then echo \
	"Another make is making the environment: wait for it. If there is none:  make distclean" >&2; exit 1; fi; \
	echo $$PPID > .venv/making
	@echo "Making the environment in .venv with $(TOOL); the first time this takes some minutes."
	@$(VENV)
	@if [ "$(TORCH)" = cpu ]; then $(INSTALL) torch torchvision --index-url https://download.pytorch.org/whl/cpu; fi
	@$(INSTALL) -r $(REQUIREMENTS) -e .
	@rm -f .venv/ready-* .venv/making && touch $@

book: $(READY)  ## build the website from the stored outputs
	@$(PY) tools/build.py

ifneq ($(origin CH),command line)
test: book  ## everything: style, units, chapters, notebooks, browser  (CH=04: one chapter and its experiments)
	$(PY) -m ruff check .
	$(PYTEST) tests --ignore-glob='tests/test_site*.py'
	$(PYTEST) --nbval-lax --nbval-current-env --nbval-cell-timeout=900 $(CHAPTERS)
	$(PYTEST) tests/test_site*.py || $(NO_BROWSER)
	@$(PY) tools/report.py
else
test: $(READY)
	@$(PY) tools/one_chapter.py "$$CH"
endif

check: $(READY)  ## style, chapters as text, algorithms: two minutes, before each commit
	$(PY) -m ruff check .
	$(PYTEST) --quiet $(ALGORITHMS) tests/test_chapters.py tests/test_layers.py tests/test_shape.py

bench: $(READY)  ## speed, side by side, on a quiet machine: seven minutes  (QUICK=1: only that it runs)
	OMP_NUM_THREADS=1 $(PY) benchmarks/selfsup.py $(if $(QUICK),--quick)
	OMP_NUM_THREADS=1 $(PY) benchmarks/transferability.py $(if $(QUICK),--quick)

hooks: $(READY)  ## check each commit: ruff, and notebooks in their byte-stable form
	@$(INSTALL) pre-commit && $(PY) -m pre_commit install

# what the layers below the experiments hold
ALGORITHMS = tests/adapters tests/analysis tests/domain tests/selfsup tests/transferability tests/test_arrays.py \
             tests/test_models.py tests/test_probes.py tests/test_results.py tests/test_surgery.py tests/test_train.py
# two processes with one thread each: on two cores faster than one process with two threads
PYTEST   = OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile
# pytest says 5 where it skipped all: without Chromium, which only CI must have
NO_BROWSER = { [ $$? = 5 ] && [ "$$CI" != true ]; }

pdf: book  ## the whole book as one PDF, printed by the Chromium or Chrome of this machine
	@$(PY) tools/pdf.py

linkcheck: $(READY)  ## ask every external link whether it still answers (needs the internet)
	@$(PY) tools/linkcheck.py

test-colab: $(READY)  ## the chapters in the versions of Colab, set up as there  (ENVIRONMENTS=folder: some GB)
	$(PY) tools/environments.py colab --at "$$ENVIRONMENTS" $$CH

test-oldest: $(READY)  ## the chapters in the lowest versions that the package claims
	$(PY) tools/environments.py oldest --at "$$ENVIRONMENTS" $$CH

test-newest: $(READY)  ## the chapters in the newest versions on the index
	$(PY) tools/environments.py newest --at "$$ENVIRONMENTS" $$CH

run: $(READY)  ## execute a chapter in place:  make run CH=02  (SCALE=full: the larger run, kept apart)
	$(if $(SCALE),TLUTILS_SCALE="$$SCALE") $(PY) tools/run.py "$$CH"

results: $(READY)  ## run the recorded experiments of a chapter again:  make results CH=02  (LIST=1: only list them)
	@$(PY) tools/record.py "$$CH" $(if $(LIST),--list)

new: $(READY)  ## begin a chapter:  make new NAME=gradient_reversal CH=10, or an experiment:  make new EXPERIMENT=noise CH=02
	@$(if $(EXPERIMENT),$(PY) tools/new_experiment.py "$$EXPERIMENT" "$$CH",$(PY) tools/new.py "$$NAME" $(if $(CH),"$$CH"))

repo: $(READY)  ## move the book to another repository:  make repo URL=https://github.com/owner/name
	$(PY) tools/repo.py "$$URL"

report: $(READY)  ## how long the chapters and how large the package are
	@$(PY) tools/report.py

mutate: $(READY)  ## change recorded rows, and see whether a chapter's claims and numbers notice  (CH=03: one chapter)
	@OMP_NUM_THREADS=1 $(PY) tools/mutate.py $(if $(CH),"$$CH")

normalise: $(READY)  ## bring the notebooks into their byte-stable form
	$(PY) tools/normalise.py $(CHAPTERS)

freeze: $(READY)  ## record the exact versions of the environment in requirements.lock
	$(PY) tools/freeze.py

lab: $(READY)  ## read, run and write chapters in JupyterLab  (LAB=--no-browser: only print the address)
	$(PY) -m jupyterlab --port=8888 --LabApp.default_url=/lab/tree/chapters $(LAB)

serve: $(READY)  ## show the built book at http://localhost:8000
	@$(PY) tools/serve.py "$$PORT"

clean:  ## remove what was built
	rm -rf _build dist .pytest_cache .ruff_cache .hypothesis

distclean: clean  ## remove the environment too
	rm -rf .venv
