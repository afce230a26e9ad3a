# A server over standard input and output that does as it is told: one tool a kind of trouble.
answer() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$1"; }
text() { answer "{\"content\":[{\"type\":\"text\",\"text\":\"$1\"}]}"; }
echo "started with ${KEY:-nothing}" >&2
while IFS= read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\("[^"]*"\|[0-9]*\).*/\1/p')
  [ -z "${MUTE:-}" ] || continue
  case "$line" in
    *'"initialize"'*) answer '{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"child","version":"1"}}' ;;
    *'"server/discover"'*) if [ -n "${MODERN:-}" ]; then answer '{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{},"ttlMs":0,"cacheScope":"private"}'; else printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"Method not found"}}\n' "$id"; fi ;;
    *'"ping"'*) answer '{}' ;;
    *'"method":"notifications/'*) ;;
    *'"name":"environment"'*) text "$(env | sort | tr '\n' ' ' | sed 's/\\/\\\\/g; s/"/\\"/g')" ;;
    *'"name":"process"'*) text "$$" ;;
    *'"name":"slow"'*) echo '{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"waiting"}}'; while [ ! -e "$GATE" ]; do sleep 0.02; done; text "done by $$" ;;
    *'"name":"crash"'*) exit 3 ;;
    *'"name":"hang"'*) while :; do sleep 1; done ;;
    *'"name":"garbage"'*) i=0; while [ $i -lt 20 ]; do echo "no message at all $KEY"; i=$((i+1)); done; text "after the garbage" ;;
    *'"name":"only_garbage"'*) while :; do echo garbage; done ;;
    *'"name":"endless_line"'*) while :; do printf 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'; done ;;
    *'"name":"flood"'*) i=0; while [ $i -lt 2000 ]; do echo '{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"flood"}}'; i=$((i+1)); done; text "dry" ;;
    *'"name":"stubborn"'*) trap '' TERM; text "deaf" ;;
    *) answer '{"content":[]}' ;;
  esac
done
