# make demo      restores a noisy photograph and enlarges a small one with the packaged weights
# make test      runs the tests except the slow ones
# make test-slow runs the slow ones
# make lint      checks style, formatting and types
# make picture   makes the pictures in the README again
# make sanitize  runs the compiled kernels under the sanitizers of GCC or Clang
#
# Each sets up what it needs in .venv first. PYTHON chooses another interpreter (3.10 to 3.13).

PYTHON ?= python3
VENV ?= .venv

# Data sets and test oracles beside the repository; without them their tests are skipped.
ifneq ($(wildcard ../shared/data),)
export NLRN_DATA_DIR ?= $(CURDIR)/../shared/data
endif
ifneq ($(wildcard ../shared/reference),)
export NLRN_REFERENCE_DIR ?= $(CURDIR)/../shared/reference
endif

.PHONY: demo picture test test-slow lint sanitize

demo: $(VENV)/installed-demo
	$(VENV)/bin/python -m nlrn_tf.demo

picture: demo
	cp build/demo/comparison.png docs/demo.png
	cp build/demo/enlargement.png docs/enlargement.png
	$(VENV)/bin/python -m nlrn_tf.demo --photograph=cat
	cp build/demo/comparison.png docs/colour.png

test: $(VENV)/installed-test
	$(VENV)/bin/python -m pytest --numprocesses=2 --dist=loadfile -m "not slow"

test-slow: $(VENV)/installed-test
	$(VENV)/bin/python -m pytest --numprocesses=2 --dist=loadfile -m slow

lint: $(VENV)/installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

SANITIZED ?= build/sanitized-kernels
KERNELS = csrc/processor.c $(wildcard csrc/portable/*.c csrc/amx/*.c)

sanitize:
	mkdir -p $(dir $(SANITIZED))
	$(CC) -O1 -g -Wall -Wextra -fsanitize=address,undefined -fno-sanitize-recover=all \
	  -include tests/support/emulated_tiles.h \
	  -o $(SANITIZED) tests/support/kernels_driver.c $(KERNELS) -lm
	$(SANITIZED)

$(VENV)/installed-demo: EXTRAS = [export,figures]
$(VENV)/installed-test: EXTRAS = [test]
$(VENV)/installed-%: setup.cfg setup.py pyproject.toml $(wildcard csrc/* csrc/*/*)
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --disable-pip-version-check --quiet --editable '.$(EXTRAS)'
	touch $@
