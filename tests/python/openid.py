"""An OpenID Connect provider that strangers wrote, over TLS. It logs Anna in, says in one line of JSON what it is called and
which token she got, and goes on until its input ends.

Usage: openid.py CERTIFICATE KEY AUTHORITY
"""

import json
import sys
import threading
from urllib.parse import parse_qs, urlparse

import httpx
from oidc_provider_mock import User, app
from werkzeug.serving import make_server

CLIENT = "shop"
REDIRECT = "https://shop.example.org/back"


def log_in(url: str, authority: str) -> str:
    with httpx.Client(base_url=url, verify=authority) as client:
        asked = {"client_id": CLIENT, "redirect_uri": REDIRECT, "response_type": "code", "scope": "openid"}
        sent_back = client.post("/oauth2/authorize", params=asked, data={"sub": "anna"}).headers["location"]
        code = parse_qs(urlparse(sent_back).query)["code"][0]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
        answer = client.post("/oauth2/token", data=form, auth=(CLIENT, "secret"))
        answer.raise_for_status()
        return answer.json()["id_token"]


def main(certificate: str, key: str, authority: str) -> None:
    anna = User(sub="anna", claims={"groups": ["merchant"]})
    server = make_server("127.0.0.1", 0, app(user_claims=[anna]), threaded=True, ssl_context=(certificate, key))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"https://127.0.0.1:{server.server_port}"
    print(json.dumps({"issuer": url, "token": log_in(url, authority)}), flush=True)
    sys.stdin.read()


main(*sys.argv[1:])
