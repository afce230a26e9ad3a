#!/usr/bin/env bash
# npm @modelcontextprotocol/inspector's CLI, with the interface of the other clients.
#
#   inspector.sh --url URL [--token-env NAME] | --command JSON [--era legacy|auto|modern]
#                [--list [--whole]] [--call TOOL [--args JSON]] [--timeout SECONDS]
#
# --command starts a server over stdio, a JSON array, with this program's own environment. Prints {ok, era, tools, result, error: {message, code, status}, caller_token_echoed}; `era` is the
# one that was asked for, since the Inspector does not say which one it got.

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
# shellcheck source-path=SCRIPTDIR source=../../scripts/lib.sh
. "$here/../../scripts/lib.sh"

exec "$(parts_dir)/bin/node" "$here/inspector.mjs" "$@"
