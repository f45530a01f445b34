"""The same chart as PNG, page and JSON; nothing that a title or a CSV says becomes markup or a formula."""

import base64
import io
import json

import analysis
import chart
import pytest
from PIL import Image

CSV = b"event_begin_time,magnitude,month\n1993-03-25T16:10:00,1.75,3\n1993-03-26T16:10:00,1.75,3\n"


def answer(title: str, accept: str, csv: bytes = CSV) -> tuple[str, str]:
    return chart.answer(analysis.analyse(io.BytesIO(csv), title=title, source="a test"), title=title, accept=accept)


def png(title: str) -> bytes:
    return chart.png(analysis.analyse(io.BytesIO(CSV), title=title, source="a test").figure)


def test_the_png_is_2000_by_1000_on_its_paper() -> None:
    image = Image.open(io.BytesIO(png("Hail in March")))
    assert (image.format, image.size) == ("PNG", (2000, 1000))
    pixels = image.convert("RGB")
    assert pixels.getpixel((0, 0)) == (0xEE, 0xEE, 0xEE)
    assert pixels.getpixel((1560, 800)) == (0x80, 0x5A, 0xC3)  # In the bar of the 25th.


def test_the_same_chart_has_the_same_bytes() -> None:
    assert png("Hail in March") == png("Hail in March") != png("Hail in May")


@pytest.mark.parametrize("accept", ["application/json", "text/plain;q=0.5, Application/JSON; charset=utf-8"])
def test_json_for_a_client_that_asks_for_it(accept: str) -> None:
    content_type, body = answer("Hail in March", accept)
    result = json.loads(body)
    assert content_type == "application/json"
    assert list(result) == ["counts", "chart_png", "rows"]
    assert (result["counts"], result["rows"]) == ({"25": 1, "26": 1}, 2)
    assert base64.b64decode(result["chart_png"]) == png("Hail in March")


@pytest.mark.parametrize("accept", ["", "*/*", "text/html,application/xhtml+xml,application/xml;q=0.9"])
def test_a_page_for_everyone_else(accept: str) -> None:
    content_type, body = answer("Hail in March", accept)
    assert content_type == "text/html; charset=utf-8"
    assert "<title>Hail in March</title>" in body
    picture = base64.b64encode(png("Hail in March")).decode()
    assert f'<img src="data:image/png;base64,{picture}" alt="Hail in March: 2 rows">' in body


def test_a_title_is_text_on_the_page_and_in_the_chart() -> None:
    _, body = answer('"><script>alert(1)</script> & {rows} $\\frac$', "")
    assert "<script" not in body
    title = "&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt; &amp; {rows} $\\frac$"
    assert f"<title>{title}</title>" in body
    assert f'alt="{title}: 2 rows">' in body


def test_what_a_csv_says_is_not_on_the_page() -> None:
    csv = b"event_begin_time,magnitude,month,<script>\n1993-03-25,1,3,<script>alert(1)</script>\n"
    _, body = answer("Hail in March", "", csv)
    assert "script" not in body
