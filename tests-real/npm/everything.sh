#!/usr/bin/env bash
# npm @modelcontextprotocol/server-everything over Streamable HTTP on loopback, endpoint /mcp.
#
#   everything.sh PORT      (0: any free port)
#
# Prints {"ready": "http://127.0.0.1:PORT"} once it listens; the server's own lines go to stderr.
# The process is the server itself, so its pid can be killed. Its tool `get-env` shows the
# environment that it was started with.

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
# shellcheck source-path=SCRIPTDIR source=../../scripts/lib.sh
. "$here/../../scripts/lib.sh"

[[ $# -eq 1 ]] || die 'usage: everything.sh PORT'
export PORT="$1"
exec "$(parts_dir)/bin/node" --require "$here/loopback.cjs" \
  "$here/node_modules/@modelcontextprotocol/server-everything/dist/index.js" streamableHttp
