# make demo   real proteins through a real model, and which heads follow contacts
# make test   every check and test
# make check  lint, types, and the tests that need no trained model and do not take long
# make docs   the documentation as a site, in build/site
# make notebooks   run the notebooks on the demo, and write their pages in docs/notebooks
# make install   the set-up alone

PYTHON ?= python3.11
BIN := .venv/bin
MODULES := attnstore ingest queries tests benchmarks notebooks docs/conf.py

.PHONY: install demo docs notebooks test check lint typecheck clean

install: .venv/installed

# Again only when what is to be installed has changed.
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is not Python 3.11 or later: make PYTHON=/path/to/python" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[ingest,test]' \
		|| { echo "The packages in constraints.txt could not be installed: is the Python package index within reach?" >&2; exit 1; }
	@touch $@

demo: install
	@$(BIN)/attnstore demo demo.attn

docs: install
	$(BIN)/sphinx-build -q -W --keep-going -b html docs build/site
	@echo build/site/index.html

notebooks: demo
	$(BIN)/python notebooks/render.py

# Two processes with a thread each: with more, those of one wait for cores that the other's have.
# Modules are handed out in the order of tests/conftest.py, the longest first.
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder

test: lint typecheck
	$(PYTEST)

check: lint typecheck
	$(PYTEST) --quiet -m "not trained and not slow"

lint: install
	$(BIN)/ruff check $(MODULES)
	$(BIN)/ruff format --check $(MODULES)

typecheck: install
	$(BIN)/mypy -p attnstore

clean:
	rm -rf .venv build *.egg-info demo.attn demo-contacts.png own.attn two.attn chance.attn demo-report two-report
