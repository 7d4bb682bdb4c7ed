"""The HTML page and the script that start Swagger UI."""

import html
import json

# Swagger UI's player loads the URL of the request, with GET and without its body. This gives it the
# URL of the response's data instead, or shows a link to a file if the browser has no decoder.
_PLAY_RESPONSES = """\
const PlayResponses = () => ({
  wrapComponents: {
    responseBody: (ResponseBody, { React }) => (props) => {
      const { content } = props;
      // Browsers do not know Opus in Ogg by the name that OpenAI gives it.
      const contentType = props.contentType?.replace("audio/opus", "audio/ogg");
      const isAudio = content instanceof Blob && contentType?.startsWith("audio/");
      const url = React.useMemo(() => isAudio && URL.createObjectURL(content), [content]);
      React.useEffect(() => () => url && URL.revokeObjectURL(url), [url]);
      if (!isAudio) return React.createElement(ResponseBody, props);
      if (document.createElement("audio").canPlayType(contentType))
        return React.createElement(ResponseBody, { ...props, contentType, url });
      const [, extension] = contentType.split(/[/;]/);
      const headers = { "content-disposition": `attachment; filename="speech.${extension}"` };
      return React.createElement(ResponseBody, { ...props, headers });
    },
  },
});
"""

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="{assets_url}/swagger-ui.css">
<link rel="icon" href="{assets_url}/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{assets_url}/swagger-ui-bundle.js"></script>
<script>{script}</script>
</body>
</html>
"""


def build_script(openapi_url: str) -> str:
    """Returns the inline script, which shows the document at this URL."""
    options = {
        "url": openapi_url,
        "dom_id": "#swagger-ui",
        "deepLinking": True,
        "showExtensions": True,
        "showCommonExtensions": True,
        "tryItOutEnabled": True,
        "filter": True,
        "displayRequestDuration": True,
    }
    # No "</script>" inside a script.
    literal = json.dumps(options, indent=2).replace("<", "\\u003c")
    return f"""
{_PLAY_RESPONSES}
SwaggerUIBundle({{ ...{literal}, plugins: [PlayResponses] }});
"""


def build_page(script: str, *, title: str, assets_url: str) -> str:
    """Returns the page, whose scripts and styles are below `assets_url`."""
    return _PAGE.format(script=script, title=html.escape(title), assets_url=html.escape(assets_url))
