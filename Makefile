# The daily verbs. `make` alone prints them.
.DEFAULT_GOAL := help
.PHONY: bench-desk bench-queue bench-webhook help setup up serve simulator test chaos check fmt migrate train lock
PYTHON_ANY := $(shell command -v python3 || command -v python)
VENV := .venv/bin/python

help: ## this menu
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv/ from the lock file (the others do it by themselves)
	@test -n "$(PYTHON_ANY)" || { echo "Baton needs a python3 to begin with (Debian: apt-get install python3-venv)"; exit 1; }
	@$(PYTHON_ANY) bot/setup.py

up: setup ## everything on this machine: bot, desk, and a WhatsApp phone in the browser
	@$(VENV) -m bot up

serve: setup ## the same for real: no simulator, the Cloud API the environment names
	@$(VENV) -m bot serve

simulator: setup ## a WhatsApp Cloud API alone, for any bot: make simulator WEBHOOK=http://... PORT=9000
	@$(VENV) -m connectors.whatsapp.simulator $(if $(WEBHOOK),--webhook "$(WEBHOOK)") $(if $(PORT),--port "$(PORT)") \
		$(if $(SECRET),--secret "$(SECRET)") $(if $(TOKEN),--token "$(TOKEN)") $(if $(STATE),--state "$(STATE)") \
		$(if $(NAME),--name "$(NAME)") $(if $(NUMBER),--display-number "$(NUMBER)")

# Whole Batons, with a dozen processes each: not beside the others, and the longest first.
WHOLE := tests/chaos/test_chaos.py tests/journeys/test_kills.py tests/bot/test_launch.py tests/journeys/test_browser.py \
	tests/journeys/test_hours.py tests/journeys/test_story.py tests/journeys/test_promise.py

test: setup ## every test, its own set-up included
	@$(VENV) tests/setup.py
	@$(VENV) -m pytest -n 2 --dist loadfile $(addprefix --ignore=,$(WHOLE)); light=$$?; \
		$(VENV) -m pytest -n 2 --dist loadgroup $(WHOLE) && exit $$light

chaos: setup ## the fault run: everything goes wrong at once, and both ends' books are compared (tests/chaos/README.md)
	@$(VENV) -m tests.chaos

check: setup ## what must hold before a commit: style, types, house rules
	@$(VENV) -m ruff check .
	@$(VENV) -m ruff format --check .
	@$(VENV) -m mypy
	@.venv/bin/lint-imports

bench-webhook: setup ## 320 updates a second for a minute on both databases, the real bot behind them: `name value bar`
	@$(VENV) -m tests.bench.webhook $(BENCH)

bench-desk: setup ## 199 desks while 80 messages a second flow, and the pages after a million: BENCH="--only sqlite --plans DIR" …
	@$(VENV) -m tests.bench.desk $(BENCH)

bench-queue: setup ## a thousand contacts, twenty agents, three desks and the watch, on both databases: `name value bar`
	@$(VENV) -m tests.bench.queue $(BENCH)

fmt: setup ## put the code into shape
	@$(VENV) -m ruff check --fix .
	@$(VENV) -m ruff format .

migrate: setup ## bring the database up to date
	@$(VENV) -m handoff migrate

train: setup ## train the model if the content changed
	@$(VENV) -m bot train

lock: setup ## resolve the dependencies of pyproject.toml anew, with hashes
	@.baton/uv/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.10 --no-header --no-annotate \
		--no-emit-index-url --all-extras pyproject.toml -o requirements.lock
