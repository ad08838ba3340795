"""Text of HTML and XHTML: Beautiful Soup finds the encoding, lxml parses the tree."""

from __future__ import annotations

from producer.extract.charset import decoded
from producer.records.byte_streams import UnreadableError
from producer.records.optional_dependencies import needed


def html_text(content: bytes, charset: str | None) -> str:
    """The text that a browser would show. The charset of a header goes before the page's own, UTF-8 last.

    Raises UnreadableError, SourceError where the libraries are missing.
    """
    lxml_html = needed("lxml.html", "HTML")
    dammit = needed("bs4.dammit", "HTML")
    from producer.extract.markup import tree_text

    encoding = charset or dammit.EncodingDetector.find_declared_encoding(content, is_html=True)
    # lxml refuses text that declares an encoding of its own.
    page = _without_declaration(decoded(content, encoding))
    if not page.strip():
        return ""
    try:
        tree = lxml_html.document_fromstring(page)
    except (lxml_html.etree.ParserError, lxml_html.etree.XMLSyntaxError, ValueError):
        raise UnreadableError("malformed HTML") from None
    return tree_text(tree)


def _without_declaration(page: str) -> str:
    page = page.lstrip()
    return page.partition("?>")[2] if page.startswith("<?xml") else page
