"""The figures of one level of `bench --codec`; `test_codec.py` runs the benchmark."""

from orpheus_server.bench.offline.codec_bench import CodecLevel


def test_the_speedup_of_a_level() -> None:
    level = CodecLevel(
        hop=1, batch=1, num_threads=1, ours_ms=2.0, reference_ms=5.0, ours_macs=1, reference_macs=4
    )
    assert level.ratio == 2.5
