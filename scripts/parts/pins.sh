# shellcheck shell=bash disable=SC2034
# The versions of the real parts that no manifest pins already.
# (npm packages: tests-real/npm/package-lock.json and tests-real/conformance/package-lock.json; Python: tests-real/python/requirements.txt.)
OPENBAO_VERSION=2.7.2
NODE_VERSION=22.23.3
