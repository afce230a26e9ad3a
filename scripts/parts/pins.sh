# shellcheck shell=bash disable=SC2034
# The versions of the real parts that no manifest pins already.
# (npm packages: the package-lock.json files below tests-real; Python: its requirements.txt files.)
OPENBAO_VERSION=2.7.2
NODE_VERSION=22.23.3
ENVOY_VERSION=1.40.0
