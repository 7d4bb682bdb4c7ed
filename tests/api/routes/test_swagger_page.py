"""The page of Swagger UI; tests/browser/ tests what its script does."""

from orpheus_server.api.routes.swagger_page import build_page, build_script

PREFIX = '/a"</script>'


def test_a_path_prefix_cannot_end_the_script() -> None:
    script = build_script(f"{PREFIX}/openapi.json")
    assert '"url": "/a\\"\\u003c/script>/openapi.json"' in script
    assert "</" not in script


def test_a_path_prefix_cannot_add_to_the_page() -> None:
    page = build_page("start({})", title="a < b", assets_url=f"{PREFIX}/swagger")
    assert "<title>a &lt; b</title>" in page
    assert 'href="/a&quot;&lt;/script&gt;/swagger/swagger-ui.css"' in page
    assert "<script>start({})</script>" in page
    assert page.count("</script>") == 2
