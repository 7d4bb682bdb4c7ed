"""The model card: what the voice is, what it was made from and how it was judged."""

import json
from collections.abc import Mapping
from typing import Any

_HEADER = """---
license: apache-2.0
language: en
pipeline_tag: text-to-speech
tags: [orpheus, snac, text-to-speech]
---
"""


def write_card(speech: Mapping[str, Any], provenance: Mapping[str, Any]) -> str:
    """Returns the text of README.md from `speech.json` and the voice's provenance (JSON)."""
    voices = "\n".join(f"| {v['name']} | {v['description']} |" for v in speech["voices"])
    return f"""{_HEADER}
# {speech["name"]}

A small English voice of the Orpheus kind with {speech["parameters"]} parameters: a
`LlamaForCausalLM` that reads phonemes and writes SNAC frames of seven tokens, with its codec in
`{speech["codec"]}/`. It runs on two CPU cores.

    TTS_MODEL_NAME=<this folder> orpheus-server serve

`config.json` and `model.safetensors` load with transformers and vLLM, `{speech["codec"]}/` with
the `snac` class (its waveform encoder is not there, and not needed to speak). `speech.json` has the
prompt, the token layout and the voices. Sampling wants a mask that allows only the codes of the
next slot, as the server has.

| voice | |
|---|---|
{voices}

Trained on synthetic speech of Kokoro-82M; NOTICE lists all licences. Utterances of up to
{speech["max_audio_seconds"]:g} seconds; longer texts are spoken in chunks. No emotion tags.

## Provenance

```json
{json.dumps(provenance, ensure_ascii=False, indent=1)}
```
"""
