"""CORS: the headers that pages of other origins may send and read."""

# In addition to the key, these are the headers that OpenAI's JavaScript SDK sends on its own.
ALLOWED_HEADERS = [
    *("authorization", "content-type", "user-agent"),
    *(
        f"x-stainless-{name}"
        for name in (
            *("arch", "async", "custom-poll-interval", "helper-method", "lang", "os"),
            *("package-version", "poll-helper", "read-timeout", "retry-count", "runtime"),
            *("runtime-version", "stream-helper", "timeout"),
        )
    ),
]
EXPOSED_HEADERS = [
    *("x-request-id", "openai-processing-ms", "retry-after", "x-should-retry"),
    *(
        f"x-orpheus-{name}"
        for name in (
            "degraded-chunks",
            "dropped-symbols",
            "dropped-tags",
            "ignored-fields",
            "left-out",
            "nothing-to-speak",
            "queue-ms",
        )
    ),
]
