"""Text out of attachments: HTML, RTF, PDF, DOCX and C-CDA narrative.

Takes bytes and a media type; does not know files or records.
"""
