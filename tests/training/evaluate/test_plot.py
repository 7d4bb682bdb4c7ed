import xml.etree.ElementTree as ET

from training.evaluate.plot import plot_error_rates


def test_draws_a_bar_for_each_rate() -> None:
    tables = {
        "teacher": {"all": {"word_error_rate": 0.02}},
        "raw <0.6>": {"all": {"word_error_rate": 0.1}, "voice rms": {"word_error_rate": 0.2}},
    }
    root = ET.fromstring(plot_error_rates(tables, "pocket & co"))
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == [
        *("pocket & co", "teacher", "raw <0.6>"),
        *("all", "0.020", "0.100", "voice rms", "0.200"),
    ]
    widths = [float(node.get("width", 0)) for node in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert widths[-3:] == [52.0, 260.0, 520.0]


def test_an_empty_plot_is_valid() -> None:
    ET.fromstring(plot_error_rates({}, "nothing"))
