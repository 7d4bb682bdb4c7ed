"""The metrics that Prometheus reads."""

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from orpheus_server.runtime.metrics import Metrics
from orpheus_server.runtime.snapshot import ChatState, GpuMemory, Snapshot
from orpheus_server.settings import load_settings
from tests.chat.test_reply_timings import TIMINGS
from tests.support.app import FakeServer

CALM = Snapshot(
    num_queued=0,
    num_generating=0,
    num_draining=0,
    num_sessions=0,
    num_generations=0,
    num_streams_capacity=12,
    is_engine_up=True,
    num_engine_restarts=0,
    kv_cache_share=0.0,
    rejections={},
    attempt_faults={},
    rollbacks={},
    num_chunks=0,
    num_degraded_chunks=0,
)


class FixedSource:
    """A source whose snapshot never changes."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def snapshot(self) -> Snapshot:
        return self._snapshot


def samples_of(body: bytes) -> dict[str, float]:
    """Returns our own metrics: from the name with labels to the value."""
    found = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            if sample.name.startswith("orpheus_") and not sample.name.endswith("_created"):
                labels = [f" {label}={value}" for label, value in sorted(sample.labels.items())]
                found["".join([sample.name, *labels])] = sample.value
    return found


def test_every_value_has_its_metric() -> None:
    busy = replace(
        CALM,
        num_queued=1,
        num_generating=2,
        num_draining=3,
        num_sessions=4,
        num_generations=5,
        is_engine_up=False,
        num_engine_restarts=6,
        kv_cache_share=0.25,
        rejections={"overloaded": 7},
        attempt_faults={"loop": 8},
        rollbacks={"stall": 9},
        num_chunks=10,
        num_degraded_chunks=11,
        gpu_memory=(GpuMemory(1, used_bytes=13, free_bytes=14),),
    )
    metrics = Metrics(FixedSource(busy))
    metrics.count_request("/health", 200)
    metrics.count_request("/health", 200)
    metrics.count_utterance("/v1/audio/speech", "done")
    metrics.count_utterance("/v1/audio/speech", "caller left")
    metrics.count_disconnect("/v1/audio/speech")
    found = samples_of(metrics.render())
    assert found.pop("orpheus_threads") >= 1
    assert found.pop("orpheus_tasks") == 0  # no event loop here
    assert found == {
        "orpheus_requests_active state=queued": 1,
        "orpheus_requests_active state=generating": 2,
        "orpheus_requests_active state=draining": 3,
        "orpheus_sessions_active": 4,
        "orpheus_generations_active": 5,
        "orpheus_capacity_streams": 12,
        "orpheus_engine_up": 0,
        "orpheus_engine_restarts_total": 6,
        "orpheus_kv_cache_usage_ratio": 0.25,
        "orpheus_admission_rejections_total reason=overloaded": 7,
        "orpheus_attempt_faults_total cause=loop": 8,
        "orpheus_rollbacks_total cause=stall": 9,
        "orpheus_chunks_total": 10,
        "orpheus_degraded_chunks_total": 11,
        "orpheus_gpu_memory_bytes device=1 state=used": 13,
        "orpheus_gpu_memory_bytes device=1 state=free": 14,
        "orpheus_requests_finished_total route=/health status=200": 2,
        "orpheus_utterances_total outcome=done route=/v1/audio/speech": 1,
        "orpheus_utterances_total outcome=caller_left route=/v1/audio/speech": 1,
        "orpheus_disconnects_total route=/v1/audio/speech": 1,
    }


def test_process_metrics_are_included() -> None:
    text = Metrics(FixedSource(CALM)).render().decode()
    assert "process_open_fds" in text
    assert "process_resident_memory_bytes" in text
    assert "python_gc_collections_total" in text


class TestRoute:
    def test_requests_are_counted_by_route_and_status(self) -> None:
        server = FakeServer()
        with server.client() as client:
            client.get("/health")
            client.get("/v1/models/orpheus")
            client.get("/v1/models/none")
            client.get("/any/unknown/path")
            client.post("/v1/audio/speech", json={"input": "One letter after another."})
            response = client.get("/metrics")
        assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        found = samples_of(response.content)
        assert {name: value for name, value in found.items() if "finished" in name} == {
            "orpheus_requests_finished_total route=/health status=200": 1,
            "orpheus_requests_finished_total route=/v1/models/{model:path} status=200": 1,
            "orpheus_requests_finished_total route=/v1/models/{model:path} status=404": 1,
            "orpheus_requests_finished_total route=unknown status=404": 1,
            "orpheus_requests_finished_total route=/v1/audio/speech status=200": 1,
        }
        assert found["orpheus_utterances_total outcome=done route=/v1/audio/speech"] == 1
        assert found["orpheus_engine_up"] == 1
        assert found["orpheus_requests_active state=generating"] == 0

    def test_it_can_be_disabled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENABLE_METRICS", "false")
        with FakeServer(settings=load_settings()).client() as client:
            assert client.get("/metrics").status_code == 404


class TestChat:
    def test_states(self) -> None:
        state = ChatState(is_up=True, num_replies=2, num_restarts=3)
        found = samples_of(Metrics(FixedSource(replace(CALM, chat=state)), has_chat=True).render())
        assert found["orpheus_chat_up"] == 1.0
        assert found["orpheus_chat_replies_active"] == 2.0
        assert found["orpheus_chat_restarts_total"] == 3.0

    def test_values_add_up(self) -> None:
        metrics = Metrics(FixedSource(CALM), has_chat=True)
        for first_audio_sec in (0.25, None):
            metrics.observe_chat(replace(TIMINGS, first_audio_sec=first_audio_sec))
        found = samples_of(metrics.render())
        assert found["orpheus_chat_prompt_tokens_total"] == 24.0
        assert found["orpheus_chat_tokens_total"] == 60.0
        assert found["orpheus_chat_sentences_total"] == 6.0
        assert found["orpheus_chat_chunks_total"] == 4.0
        assert found["orpheus_chat_voice_tokens_total"] == 748.0
        assert found["orpheus_chat_audio_seconds_total"] == pytest.approx(9.134)
        assert found["orpheus_chat_first_audio_seconds_count"] == 1.0
        assert found["orpheus_chat_first_audio_seconds_bucket le=0.3"] == 1.0
        assert found["orpheus_chat_first_audio_seconds_bucket le=0.2"] == 0.0
        assert found["orpheus_chat_sentence_seconds_count"] == 4.0
        assert found["orpheus_chat_sentence_seconds_sum"] == 3.0
        assert found["orpheus_chat_tokens_per_second_bucket le=82.0"] == 2.0
        assert found["orpheus_chat_answer_seconds_sum"] == 3.4

    def test_there_are_none_without_a_language_model(self) -> None:
        assert not [
            name for name in samples_of(Metrics(FixedSource(CALM)).render()) if "chat" in name
        ]
