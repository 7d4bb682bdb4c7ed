"""The tiny model writes different English sentences, which the tests of chat need."""

import re
from pathlib import Path

import pytest
import torch
from transformers import Gemma2ForCausalLM

from orpheus_server.chat.local.tokenizer import load_chat_tokenizer
from orpheus_server.interfaces import ChatMessage
from tests.support.tiny_gemma import WORDS

NUM_ANSWERS = 16

pytestmark = pytest.mark.slow


def test_it_writes_different_sentences(tiny_gemma: Path) -> None:
    tokenizer = load_chat_tokenizer(tiny_gemma, source="tiny")
    prompt = tokenizer.prompt_ids([ChatMessage("user", "Hello.")], available_tokens=100)
    model = Gemma2ForCausalLM.from_pretrained(tiny_gemma)
    torch.manual_seed(1)
    written = model.generate(
        torch.tensor([prompt] * NUM_ANSWERS),
        max_new_tokens=64,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=0.98,
    )
    texts = []
    for ids in written[:, len(prompt) :].tolist():
        answer = tokenizer.open_text()
        texts.append(answer.feed(ids) + answer.flush())
    assert len(set(texts)) == NUM_ANSWERS
    assert set(re.findall(r"[^\s.,!?]+", " ".join(texts))) <= set(WORDS)
    sentences = [part.split() for text in texts for part in re.split(r"[.!?]", text) if part]
    assert 5 <= sum(map(len, sentences)) / len(sentences) <= 16
