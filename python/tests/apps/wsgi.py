"""What gunicorn serves: each request issues 200 IDs."""

from issuers import issue


def app(environ, start_response):
    body = "\n".join(issue(200)).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
