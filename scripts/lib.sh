# shellcheck shell=bash
# Functions that every script of this repository shares. Source it, never run it:
#   . "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# Messages go to stderr, results to stdout, so that a caller can capture the result alone.

set -Eeuo pipefail
shopt -s inherit_errexit

# say TEXT...: one line for the person watching.
say() {
  printf '%s\n' "$*" >&2
}

# die TEXT...: say why and stop with exit code 1.
die() {
  say "error: $*"
  exit 1
}

# repo_root: the absolute path of the checkout that this file stands in.
repo_root() {
  (cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
}

# parts_dir: the folder that holds the installed real parts, created when absent.
# MCP_GATEWAY_PARTS overrides it, so that several clones can share one installation.
parts_dir() {
  local folder="${MCP_GATEWAY_PARTS:-}"
  [[ -n "$folder" ]] || folder="$(repo_root)/.parts"
  mkdir -p "$folder"
  (cd "$folder" && pwd -P)
}

# step NAME: ends the timing line of the step before and begins this one.
# `step` without a name only ends the last.
_step_name=''
_step_began=0
step() {
  local now elapsed
  now="$(date +%s%N)"
  if [[ -n "$_step_name" ]]; then
    elapsed=$(((now - _step_began) / 1000000))
    say "$(printf '<== %s (%d.%03d s)' "$_step_name" $((elapsed / 1000)) $((elapsed % 1000)))"
  fi
  _step_name="${1:-}"
  _step_began="$now"
  [[ -z "$_step_name" ]] || say "==> $_step_name"
}

# missing_apt PACKAGE...: prints those that dpkg does not know as installed, one a line.
missing_apt() {
  local package
  for package in "$@"; do
    [[ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)" == installed ]] ||
      printf '%s\n' "$package"
  done
}

# need_apt PACKAGE...: installs what is missing and nothing else, never starts a service,
# and refreshes the package lists at most once per shell.
_apt_updated=no
need_apt() {
  local -a missing
  mapfile -t missing < <(missing_apt "$@")
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || die "these Debian packages are needed: ${missing[*]}"
  [[ "$(id -u)" == 0 ]] || die "these Debian packages are needed, and only root can install them: ${missing[*]}"
  if [[ "$_apt_updated" == no ]]; then
    quietly apt-get -qq -o DPkg::Lock::Timeout=300 update
    _apt_updated=yes
  fi
  say "installing Debian packages: ${missing[*]}"
  without_service_start quietly env DEBIAN_FRONTEND=noninteractive \
    apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
    --no-install-recommends install "${missing[@]}"
}

# quietly COMMAND...: runs it and shows what it printed only if it fails.
quietly() {
  local output status=0
  output="$("$@" 2>&1)" || status=$?
  ((status == 0)) || say "$output"
  return "$status"
}

# without_service_start COMMAND...: runs it while Debian's policy-rc.d forbids service starts.
# An existing policy is respected and left alone.
without_service_start() {
  local policy=/usr/sbin/policy-rc.d status=0
  if [[ -e "$policy" ]]; then
    "$@"
    return
  fi
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 0755 "$policy"
  "$@" || status=$?
  rm -f "$policy"
  return "$status"
}

# wait_http URL SECONDS: returns 0 as soon as URL gives any HTTP answer, 1 after SECONDS.
wait_http() {
  local url="$1" deadline
  deadline=$(($(date +%s%N) + $2 * 1000000000))
  while (($(date +%s%N) < deadline)); do
    if curl --silent --noproxy '*' --max-time 2 --output /dev/null "$url"; then return 0; fi
    sleep 0.05
  done
  say "no HTTP answer from $url within $2 s"
  return 1
}

# free_port: prints a loopback TCP port that was free a moment ago. Another process may take it
# before the caller does, so prefer port 0 wherever the program can report its own port.
free_port() {
  python3 -c 'import socket
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    print(s.getsockname()[1])'
}
