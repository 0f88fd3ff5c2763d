# The commands of the course. `make lab` and `make test` set everything up by themselves.
PYTHON ?= python3
PORT ?= 8888
BROWSER ?= default
BIN := .venv/bin

export OMP_NUM_THREADS ?= 1

.PHONY: lab test setup
.DEFAULT_GOAL := lab
