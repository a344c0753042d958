#!/bin/sh
# Install the service into a virtual environment: install.sh ENVIRONMENT SOURCE
set -eu
environment=$1
source=$2
# For any processor of this kind, and not for the one that builds.
export LIGHTFM_NO_CFLAGS=1 ANNOY_COMPILER_ARGS=-O3,-ffast-math,-fno-associative-math
"${PYTHON:-python3}" -m venv "$environment"
"$environment/bin/python" -m pip install --quiet --no-compile --constraint "$source/constraints.txt" torch
"$environment/bin/python" -m pip install --quiet --no-compile --constraint "$source/constraints.txt" \
    "$source[service]"
