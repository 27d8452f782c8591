# The doors of this project: `make help` lists them. Works with GNU make from 3.81 on and any POSIX shell.

PYTHON :=
VENV := .venv/bin/python
ARGS :=

# With a database of one's own, the embedded one is not installed.
NEEDED := $(if $(value CALLBOX_DATABASE_URL)$(value CALLBOX_DATABASE_URL_FILE),runtime,embedded)
# A .venv whose Python went away (an update of the system, say) is made anew.
BROKEN := $(shell test -x $(VENV) || echo broken)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test drills fetching bench bench-compare bench-digest bench-query endurance fuzz advisories bytes week demo lint format env clean broken

help: ## list what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | while IFS='	' read -r name what; do \
		printf 'make %-13s %s\n' "$$name" "$$what"; \
	done

run: .venv/.$(NEEDED) ## start Callbox at http://127.0.0.1:8000 (CALLBOX_PORT=8001 make run: elsewhere)
	@exec $(VENV) -P -m app serve $(ARGS)

test: .venv/.dev ## run all tests (make test ARGS='-k words': some)
	$(VENV) -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

drills: .venv/.dev ## kill processes and databases under load, many times, and count what was acknowledged and stored
	DRILL_ROUNDS=$${DRILL_ROUNDS:-20} $(VENV) -m pytest tests/drills -s $(ARGS)

fuzz: .venv/.tools ## look for input that breaks a promise (FUZZ_SECONDS=3600 make fuzz: an hour; ARGS='posted times': these)
	@$(VENV) -m tests.fuzz $(ARGS)

advisories: .venv/.tools ## ask what is known against the locked dependencies
	@$(VENV) -m tests.security.advisories $(ARGS)

bench: .venv/.dev ## measure receiving beside an endpoint that does nothing (ARGS='--sizes 1000 10000 --workers 1 2': more)
	$(VENV) -m tests.bench.receiving $(ARGS)

bench-digest: .venv/.dev ## measure processing alone, and what a delivery costs (ARGS='--size 10000': larger ones)
	$(VENV) -m tests.bench.digesting $(ARGS)

bench-query: .venv/.dev ## measure asking at a million deliveries, kept in var/bench (ARGS='--deliveries 5000000': more)
	$(VENV) -m tests.bench.query $(ARGS)

bench-compare: .venv/.dev ## print the last run of `make bench` against the one before it
	$(VENV) -m tests.bench.comparing $(ARGS)

endurance: .venv/.dev ## measure memory at full load for ten minutes, and receiving where a million rows lie (ARGS='--rows 5000000': more)
	$(VENV) -m tests.bench.endurance $(ARGS)

bytes: .venv/.dev ## measure what a stored callback costs on the disk (ARGS='--callbacks 100000': more of them)
	@$(VENV) -m tests.measures.bytes_per_callback $(ARGS)

week: .venv/.dev ## live through a week in which callbacks get lost, come twice or late, and see that nothing is missing
	WEEK_INQUIRIES=$${WEEK_INQUIRIES:-5000} WEEK_STEP_HOURS=$${WEEK_STEP_HOURS:-4} $(VENV) -m pytest tests/jobs/test_week.py -s $(ARGS)

fetching: .venv/.dev ## fetch 1,000 documents with the real work process (ARGS='--kills 3': and kill it meanwhile)
	@$(VENV) -m tests.documents.drill $(ARGS)

demo: .venv/.embedded ## show the circle in a minute: call a platform, be called back, see it answered
	@exec $(VENV) -m tests.doubles.demo

lint: .venv/.dev ## check style, types and which room imports which
	$(VENV) -m ruff check
	$(VENV) -m ruff format --check
	$(VENV) -m mypy
	$(VENV) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

format: .venv/.dev ## put the code into shape
	$(VENV) -m ruff check --fix
	$(VENV) -m ruff format

env: ## write .env for Docker Compose, once: fresh keys, for this user only
	@if test -e .env; then echo '.env is there already and stays as it is.'; exit 0; fi; \
	umask 077; \
	secret() { head -c "$$1" /dev/urandom | base64 | tr -d '=\n' | tr '+/' '-_'; }; \
	{ \
		echo '# Written once by `make env`. Keep a copy: without the key nobody can read the secrets in the database.'; \
		echo "CALLBOX_ENCRYPTION_KEY=$$(secret 32)"; \
		echo "POSTGRES_PASSWORD=$$(secret 24)"; \
	} > .env.unfinished && mv .env.unfinished .env && echo 'Wrote .env with fresh keys.'

clean: ## remove .venv and caches; the data in ./var stays
	@rm -rf .venv .venv-old-* .venv.lock .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .fuzz
	@find app tests migrations -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.runtime: requirements.txt $(BROKEN)
.venv/.embedded: requirements-embedded.txt $(BROKEN)
.venv/.dev: requirements-dev.txt $(BROKEN)
.venv/.tools: requirements-tools.txt $(BROKEN)

# Newest first, but one that is too new to have wheels comes last (as python3).
.venv/.runtime .venv/.embedded .venv/.dev .venv/.tools:
	@for python in $(PYTHON) python3.14 python3.13 python3.12 python3.11 python3 python; do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		found=$$python; \
		"$$python" -c 'import ensurepip, fcntl, venv' 2>/dev/null || continue; \
		exec "$$python" -I app/install.py $(@:.venv/.%=%); \
	done; \
	if test -n "$$found"; then \
		echo "$$found has no venv module: install it (Debian, Ubuntu: apt install python3-venv)."; \
	else \
		here=$$({ python3 -V; python -V; } 2>&1 | sed -n 's/^Python /Python /p' | head -n 1); \
		echo "Callbox needs Python 3.11 or newer, here is $${here:-none}:" \
			"install it (Debian 12, Ubuntu 24.04 or newer: apt install python3 python3-venv; macOS: brew install python)."; \
	fi >&2; exit 1
