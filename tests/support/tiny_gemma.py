"""A random Gemma 2 with two narrow layers that writes English words, in Gemma's prompt format.

Its vocabulary is whole words, stops and bytes. With its embeddings it picks words at random, ends a
sentence after about ten words and its turn after some sentences.
"""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import Gemma2Config, Gemma2ForCausalLM

CONTEXT_TOKENS = 4096
SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")
EOS_ID, BOS_ID, START_ID, END_ID = (
    SPECIAL.index(name) for name in ("<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>")
)
SENTENCE_ENDS = (".", "!", "?")
_WORD_LIST = """
the a one two every some many this that her his our their your my each any old new small big
good warm cold long short light dark quiet loud early late green blue red white slow quick soft
strong bright kind clear fresh young little happy morning evening day night week year summer
winter spring autumn house garden door window table chair kitchen road street river bridge lake
sea hill mountain forest tree leaf flower grass field stone bird horse cat dog fish bear fox
friend mother father sister brother child teacher doctor farmer baker painter singer neighbor
book letter story song word name voice music picture paper cup bread water milk tea coffee
apple cake soup dinner train boat car wheel ship plane ticket map journey city town village
market school station shop room light fire rain snow wind cloud sun moon star sky walk runs
sings speaks listens waits looks finds makes takes gives brings keeps opens closes begins ends
comes goes stays sleeps wakes reads writes draws paints cooks bakes eats drinks buys sells
builds grows falls rises turns moves rests shines calls asks answers thinks knows hopes feels
remembers loves likes helps learns teaches shows tells plays works lives travels returns
and but or so then when while because before after under over near behind beside between into
from with without through across around along above below inside outside again always often
never soon today tomorrow together slowly quickly quietly gladly here there away home back
"""
WORDS = tuple(dict.fromkeys(_WORD_LIST.split()))
_CHARS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'\"-:;()<>/"

GEMMA_TEMPLATE = """\
{%- macro turn(role, text) -%}
<start_of_turn>{{ role }}
{{ text | trim }}<end_of_turn>
{% endmacro -%}
{{- bos_token -}}
{%- for message in messages -%}
{%- set is_user = message.role == 'user' -%}
{%- if message.role == 'system' -%}
{{- raise_exception('System role not supported') -}}
{%- elif is_user != (loop.index0 is even) -%}
{{- raise_exception('Turns of user and assistant must alternate') -}}
{%- endif -%}
{{- turn('user' if is_user else 'model', message.content) -}}
{%- endfor -%}
{%- if add_generation_prompt %}<start_of_turn>model
{% endif -%}
"""
"""Gives the same prompts as Gemma's template for conversations of user and assistant."""

_HIDDEN = 64
_CLASSES = ("word", "end", "comma", "turn", "newline", "other")
_NEVER = -9.0
# Logit of each class after another one, relative to a word. The table is symmetric, because the
# embeddings are both the input and the output.
_BIAS = {
    ("word", "word"): 0.0,
    ("word", "end"): 2.7,
    ("word", "comma"): 2.6,
    ("word", "newline"): _NEVER,
    ("word", "turn"): _NEVER,
    ("end", "turn"): 10.0,
}
_NUM_RANDOM = 40
_RANDOM_STD = 1.2


def write_tiny_gemma(folder: Path) -> None:
    """Writes an instruction-tuned checkpoint: weights, tokenizer, template and sampling."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = write_tokenizer(folder)
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=len(tokens),
        hidden_size=_HIDDEN,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        query_pre_attn_scalar=32,
        max_position_embeddings=CONTEXT_TOKENS,
        sliding_window=CONTEXT_TOKENS,
        final_logit_softcapping=30.0,
        attn_logit_softcapping=50.0,
        bos_token_id=BOS_ID,
        eos_token_id=EOS_ID,
        pad_token_id=0,
        tie_word_embeddings=True,
    )
    model = Gemma2ForCausalLM(config)
    _set_embeddings(model, tokens)
    model.to(torch.bfloat16).save_pretrained(folder)
    sampling = {"eos_token_id": [EOS_ID, END_ID], "temperature": 1.0, "top_p": 0.98, "top_k": 0}
    ids = {"bos_token_id": BOS_ID, "pad_token_id": 0, "do_sample": True}
    (folder / "generation_config.json").write_text(json.dumps(sampling | ids))
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A tiny random Gemma\n")


def write_tokenizer(folder: Path) -> list[str]:
    """Writes the tokenizer; returns its tokens in order of their ids."""
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    words = [f"\u2581{word}" for word in WORDS]
    chars = ["\u2581", *_CHARS]
    tokens = [*SPECIAL, *byte_tokens, "\n", *SENTENCE_ENDS, ",", *words, *chars]
    # Whole words score higher than characters, so that a listed word is never spelled.
    scores = {token: -1.0 for token in [*words, "\n", *SENTENCE_ENDS, ","]}
    tokenizer = Tokenizer(
        models.Unigram(
            [(token, scores.get(token, -10.0)) for token in tokens],
            unk_id=SPECIAL.index("<unk>"),
            byte_fallback=True,
        )
    )
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))
    described = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "additional_special_tokens": ["<start_of_turn>", "<end_of_turn>"],
        "clean_up_tokenization_spaces": False,
        "model_max_length": CONTEXT_TOKENS,
        "chat_template": GEMMA_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(described))
    return tokens


def _class_of(token: str) -> str:
    if token in SENTENCE_ENDS:
        return "end"
    named = {",": "comma", "\n": "newline", "<end_of_turn>": "turn"}
    is_word = token.startswith("\u2581") and len(token) > 1
    return named.get(token, "word" if is_word else "other")


def _set_embeddings(model: Gemma2ForCausalLM, tokens: list[str]) -> None:
    """Logits are `embedding(next) * D * embedding(last)`.

    A few dimensions hold the table of classes. Most are random, with signs in `D` that keep a
    token from following itself.
    """
    table = torch.full((len(_CLASSES), len(_CLASSES)), _NEVER)
    for (first, second), bias in _BIAS.items():
        row, column = _CLASSES.index(first), _CLASSES.index(second)
        table[row, column] = table[column, row] = bias
    # The prompt ends in a line break; an answer starts with a word.
    newline, word = _CLASSES.index("newline"), _CLASSES.index("word")
    table[newline, word] = table[word, newline] = 0.0
    values, vectors = torch.linalg.eigh(table)
    num_classes, num_fixed = len(_CLASSES), len(_CLASSES) + _NUM_RANDOM
    # Normalised hidden states have the norm sqrt(hidden), embeddings the norm 1.
    length = _HIDDEN**0.5
    factor = torch.zeros(_HIDDEN)
    factor[:num_classes] = values.sign() * 4 * values.abs() / length
    factor[num_classes:num_fixed] = torch.tensor([1.0, -1.0]).repeat(_NUM_RANDOM // 2)
    factor[num_classes:num_fixed] *= _RANDOM_STD * _NUM_RANDOM**0.5 / (length * 0.5)
    rows = torch.zeros(len(tokens), _HIDDEN)
    classes = torch.tensor([_CLASSES.index(_class_of(token)) for token in tokens])
    rows[:, :num_classes] = 0.5 * vectors[classes]
    noise = torch.randn(len(tokens), _NUM_RANDOM)
    rows[:, num_classes:num_fixed] = 0.5**0.5 * noise / noise.norm(dim=1, keepdim=True)
    # An unused dimension gives all embeddings the same norm.
    rows[:, -1] = (1 - rows.square().sum(dim=1)).sqrt()
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(rows)
        model.model.norm.weight.copy_(factor - 1)
        for layer in model.model.layers:
            for norm in (layer.post_attention_layernorm, layer.post_feedforward_layernorm):
                # The context affects the word but not its class.
                norm.weight.copy_(torch.full((_HIDDEN,), 0.3 - 1))
                norm.weight[:num_classes] = -1.0
