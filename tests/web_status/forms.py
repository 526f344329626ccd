"""Forms with files, as a browser sends them."""

import uuid


def form(*parts):
    """The body and the content type of a form; a part is (field, file name or None, content)."""
    mark = uuid.uuid4().hex
    body = b""
    for field, name, content in parts:
        named = f'; filename="{name}"' if name is not None else ""
        head = f'--{mark}\r\nContent-Disposition: form-data; name="{field}"{named}\r\n\r\n'
        body += head.encode() + content + b"\r\n"
    return body + f"--{mark}--\r\n".encode(), f"multipart/form-data; boundary={mark}"
