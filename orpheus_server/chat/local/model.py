"""A language model in this process that uses a `TokenEngine`, as the voice does."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from orpheus_server.chat.filters import ThinkingFilter
from orpheus_server.chat.local.tokenizer import ChatTokenizer
from orpheus_server.concurrency import WorkerPool
from orpheus_server.errors import ChatModelFailed, GenerationFailed, Overloaded
from orpheus_server.interfaces import (
    ChatModelInfo,
    ReplyDelta,
    ReplyRequest,
    SamplingOptions,
    TokenEngine,
    TokenRequest,
)

DEFAULT_ANSWER_TOKENS = 512
"""Tokens reserved for an answer without a limit, which may use all that the prompt leaves."""


class LocalChatModel:
    """Answers with the model's own chat template; `sampling` applies where a request sets none.

    Raises `Overloaded` for more than `max_active` answers at the same time.
    """

    def __init__(
        self,
        info: ChatModelInfo,
        engine: TokenEngine,
        tokenizer: ChatTokenizer,
        pool: WorkerPool,
        *,
        sampling: SamplingOptions,
        max_active: int,
    ) -> None:
        self.info = info
        self.engine = engine
        self.num_active = 0
        self._tokenizer = tokenizer
        self._pool = pool
        self._sampling = sampling
        self._max_active = max_active

    @property
    def is_alive(self) -> bool:
        """Whether the engine is alive."""
        return self.engine.is_alive

    async def reply(self, request: ReplyRequest) -> AsyncGenerator[ReplyDelta, None]:
        """Yields a delta for each of the engine's; its text may be empty."""
        if self.num_active >= self._max_active:
            raise Overloaded(
                "The language model is answering as many requests as it can.", retry_after_sec=5
            )
        self.num_active += 1
        try:
            token_request = await self.token_request(request)
            text, thinking = self._tokenizer.open_text(), ThinkingFilter()
            num_prompt_tokens = len(token_request.prompt_token_ids)
            async with aclosing(self.engine.generate(token_request)) as deltas:
                async for delta in deltas:
                    written = thinking.feed(text.feed(delta.token_ids))
                    if delta.finish_reason is not None:
                        written += thinking.feed(text.flush()) + thinking.flush()
                    yield ReplyDelta(
                        written, len(delta.token_ids), delta.finish_reason, num_prompt_tokens
                    )
        except GenerationFailed as error:
            raise ChatModelFailed(f"The language model failed: {error}") from error
        finally:
            self.num_active -= 1

    async def token_request(self, request: ReplyRequest) -> TokenRequest:
        """Builds the request for the engine. Raises `RequestError`."""
        options, context = request.options, self.engine.max_model_len
        # A limit of more than half of the context still leaves space for a question.
        reserved_tokens = min(options.max_tokens or DEFAULT_ANSWER_TOKENS, context // 2)
        prompt = await self._pool.run(
            self._tokenizer.prompt_ids, request.messages, available_tokens=context - reserved_tokens
        )
        tokens_left = context - len(prompt)
        return TokenRequest(
            request_id=request.request_id,
            prompt_token_ids=prompt,
            sampling=self._sampling.overridden_by(
                temperature=options.temperature, top_p=options.top_p
            ),
            max_tokens=min(options.max_tokens or tokens_left, tokens_left),
            seed=options.seed,
            presence_penalty=options.presence_penalty,
            frequency_penalty=options.frequency_penalty,
        )

    async def close(self) -> None:
        """Closes the engine."""
        await self.engine.close()
