#!/bin/sh
# Starts llama.cpp's llama-server with an Orpheus GGUF, for TTS_ENGINE=completions:
#
#     deploy/llama-server.sh orpheus-3b-0.1-ft-q8_0.gguf
#     TTS_COMPLETIONS_URL=http://127.0.0.1:8080 orpheus-server serve
#
# SLOTS generations run at once, each with room for its prompt and its longest chunk of speech: 82
# tokens are one second, so 4096 are 50 s. llama-server divides its context by the slots, so it must be
# as large as all of them together. In 16 bits 1,000 tokens of the published voice take 115 MB.
# Further options are passed on: deploy/llama-server.sh model.gguf --gpu-layers 20
set -eu

if [ $# -lt 1 ]; then
  echo "usage: [SLOTS=4] [HOST=127.0.0.1] [PORT=8080] [LLAMA_SERVER=llama-server] $0 MODEL.gguf [OPTION...]" >&2
  exit 2
fi
model=$1
shift

slots=${SLOTS:-4}
prompt_tokens=512 # 500 characters of text
chunk_tokens=4096

# Requests join and leave the batch while it runs. Prompts share no beginning and a finished one is
# never continued, so no memory is kept for either. Speech that does not fit must end, not go on with
# half of its context dropped.
exec "${LLAMA_SERVER:-llama-server}" \
  --model "$model" \
  --host "${HOST:-127.0.0.1}" \
  --port "${PORT:-8080}" \
  --parallel "$slots" \
  --ctx-size "$((slots * (prompt_tokens + chunk_tokens)))" \
  --no-kv-unified \
  --cont-batching \
  --no-context-shift \
  --no-cache-prompt \
  --cache-ram 0 \
  "$@"
