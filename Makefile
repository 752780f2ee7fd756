# Every command of the README. `make setup` makes .venv; everything else uses it.
PY := .venv/bin/python
# Without its cache, pytest rewrites all that it imports and each process of a cluster compiles it anew, at each start.
unexport PYTHONDONTWRITEBYTECODE
export RAY_USAGE_STATS_ENABLED := 0
export OMP_WAIT_POLICY := PASSIVE

.PHONY: setup demo test test-training test-models test-services test-rest lint types check load load-core load-rest chaos browser gpu bench bench-train bench-lora bench-serve bench-scale bench-commands bench-memory demo-model demo-guess clean

setup: .venv/installed

# Python compiles a module when it is first imported; to compile all that is installed takes as long as to install it.
.venv/installed: pyproject.toml constraints.txt
	@echo "installing into .venv: 2.6 GB, in some minutes"
	python3 -m venv .venv
	$(PY) -m pip install --no-compile --progress-bar off --disable-pip-version-check -c constraints.txt -e '.[local-store,cluster,services,demo,dev]'
	touch $@

# The folder marks the checkout: its state stays in it.
demo: setup
	mkdir -p .textinv
	$(PY) -m textinv.demo.quickstart

# What `pytest` alone runs one after the other; side by side it takes little more than half as long on two cores, if
# the threads of one part do not wait for those of the other. The core's rooms start neither Ray nor a store, and compute
# all the time; the others wait for servers half of it, and for Ray's workers, whom the core lets go first.
SIDE_BY_SIDE := $(MAKE) --no-print-directory --jobs=4 --keep-going
DEFAULT := not chaos and not browser and not gpu and not load
TRAINING := $(addprefix tests/,training guess embedding evaluation images)
MODELS := $(addprefix tests/,generation models demo)
CORE := $(TRAINING) $(MODELS)
SERVICES := $(addprefix tests/,services store registry jobs plan manifest deploy)
REST := tests $(addprefix --ignore=,$(CORE))

# The plugin is for load tests only, and every part would import it.
PART := $(PY) -m pytest -p no:schemathesis -m '$(DEFAULT)'

test: export OMP_NUM_THREADS := 1
test: setup
	@echo "tests of the core and all others run side by side; each tells its results when it has ended"
	$(SIDE_BY_SIDE) test-training test-models test-services test-rest

test-training: setup
	nice -n 19 $(PART) $(TRAINING) $(ARGS)

test-models: setup
	nice -n 19 $(PART) $(MODELS) $(ARGS)

test-services: setup
	$(PART) $(SERVICES) $(ARGS)

test-rest: setup
	$(PART) $(REST) $(addprefix --ignore=,$(SERVICES)) $(ARGS)

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: setup
	.venv/bin/mypy

check: lint types test

load: export OMP_NUM_THREADS := 1
load: setup
	$(SIDE_BY_SIDE) load-core load-rest

load-core: setup
	$(PY) -m pytest -m load $(CORE) $(ARGS)

load-rest: setup
	$(PY) -m pytest -m load $(REST) $(ARGS)

chaos: setup
	$(PY) -m pytest -m chaos $(ARGS)

browser: setup
	$(PY) -m pytest -m 'browser and not load' tests/browser $(ARGS)

gpu: setup
	$(PY) -m pytest -m gpu tests/gpu

bench: bench-train bench-lora bench-serve bench-scale bench-commands
	$(PY) tests/benchmarks/plots.py

bench-train: setup
	$(PY) tests/benchmarks/train.py $(ARGS)

# diffusers imports peft wherever it is installed, at a cost to everything else: so it lies beside.
bench-lora: setup
	$(PY) -m pip install --quiet --no-deps --upgrade --target build/peft -c constraints.txt peft
	PYTHONPATH=build/peft $(PY) tests/benchmarks/train_lora.py $(ARGS)

bench-serve: setup
	$(PY) tests/benchmarks/serve.py $(ARGS)

bench-scale: setup
	$(PY) tests/benchmarks/scale.py $(ARGS)

bench-commands: setup
	$(PY) tests/benchmarks/commands.py $(ARGS)

bench-memory: setup
	$(PY) -m tests.benchmarks.memory $(ARGS)

demo-model: setup
	$(PY) -m textinv.demo.making.build --out build/demo-model

# From the shipped weights: about three quarters of an hour of one idle core, and it goes on where it was left off.
demo-guess: setup
	$(PY) -m textinv.demo.making.build --out build/demo-model --only packages --only sprites
	$(PY) -m textinv.demo.making.train_guess --icons build/demo-model/icons.npz --out build/demo-guess

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .textinv
