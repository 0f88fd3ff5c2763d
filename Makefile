# The commands of the course. Each sets up what it needs: `make lab` and `make test` are all that a newcomer types.
PYTHON ?= python3
PORT ?= 8888
ROLE = learner
BIN := .venv/bin
# BROWSER=none starts the server alone, and prints its address. In a container one is often root, which Jupyter asks about.
LAB := --ServerApp.port=$(PORT) $(if $(filter none,$(BROWSER)),--no-browser) $(if $(filter 0,$(shell id -u)),--allow-root)

ifeq ($(filter learner teacher,$(ROLE)),)
$(error ROLE=$(ROLE) is not allowed; allowed: learner, teacher)
endif

.DEFAULT_GOAL := lab
.PHONY: lab test setup install exercises grade base reference readme strip bench workshop slides

# A copy that cannot be read is named, and keeps nobody from the lessons.
lab: setup  ## open JupyterLab on the first page, beside the learner's own exercises; ROLE=teacher adds the teacher's tools
	@$(BIN)/python -m course_lib.copies || true
	COURSE_ROLE=$(ROLE) $(BIN)/jupyter lab $(LAB) --config=jupyter_server_config.py notebooks/00_start_here.ipynb

test: setup  ## run the whole test suite
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --nbval-lax --nbval-cell-timeout=120

# What was installed is kept as text. A change of it, or of this folder's place, installs again; nothing else does; and
# an install that was interrupted has left no such text.
setup:
	@printf '%s\n' '$(CURDIR)' | cat - requirements.txt pyproject.toml | cmp -s - .venv/installed || $(MAKE) --no-print-directory install

install:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "The course needs Python 3.11 to 3.13; $$($(PYTHON) --version) was found. Name another: make PYTHON=python3.12"; exit 1; }
	@rm -f .venv/installed
	@echo "Setting up .venv: two to five minutes and about 2 GB, once."
	@test -x $(BIN)/python && $(BIN)/python -c '' || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	@printf '%s\n' '$(CURDIR)' | cat - requirements.txt pyproject.toml > .venv/installed

exercises: setup  ## generate exercises/ from solutions/
	$(BIN)/python -m grading.release

# OVERLAY=folder adds secret tests, AGAIN=1 grades all anew, UNPROTECTED=1 goes without the sandbox, FOLDER is another class.
grade: setup  ## grade grading/submitted/<student>/<exercise>/<exercise>.ipynb
	$(BIN)/python -m grading $(if $(OVERLAY),--overlay '$(OVERLAY)') $(if $(filter-out 0,$(AGAIN)),--again) \
	  $(if $(filter-out 0,$(UNPROTECTED)),--unprotected) $(if $(FOLDER),'$(FOLDER)')

base: setup  ## train the base model of the lessons on smaller models again, and ship its weights
	$(BIN)/python -m tools.base

reference: setup  ## run every lesson here, promote its records to this machine's reference, and say what changed
	$(BIN)/python -m tools.reference
	$(BIN)/python -m tools.readme
	$(BIN)/python -m tools.changes

readme: setup  ## fill the README's results in from the reference
	$(BIN)/python -m tools.readme

# One file, which needs no network: slides/11_mixed_precision.html.
slides: setup  ## run a lesson and write its slides: make slides LESSON=11
	$(BIN)/python -m tools.slides '$(LESSON)'

strip: setup  ## strip the notebooks' outputs, except those tagged keep_output
	$(BIN)/python -m tools.strip

bench: setup  ## compare the training core with hand-written loops and with its peers
	$(BIN)/python tests/benchmarks/bench.py

workshop: setup  ## grade a made-up workshop of 30: time, memory, and whether anything is lost
	$(BIN)/python tests/benchmarks/workshop.py
