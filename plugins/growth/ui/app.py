"""The app behind the entry "Growth": its routes, what they answer, and the headers of every answer."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import jinja2
import plotly
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, StreamingResponse
from markupsafe import Markup
from starlette.exceptions import HTTPException as StarletteHTTPException

from growth.errors import UserError
from growth.ui import figures
from growth.ui.access import MAY_READ, SeesEmails
from growth.ui.filters import BadRequest, Filters, read
from growth.ui.listing import Source, as_csv
from growth.ui.pages import PAGES, data_quality, health
from growth.ui.reader import Reader
from growth.ui.warehouse import reading

log = logging.getLogger(__name__)

HERE = Path(__file__).parent
STATIC = {
    "growth.css": (HERE / "static/growth.css", "text/css"),
    "growth.js": (HERE / "static/growth.js", "text/javascript"),
    # The library's own, so that it is always the one that the figures are made for.
    "plotly.min.js": (Path(str(files(plotly) / "package_data/plotly.min.js")), "text/javascript"),
}

# Nothing from elsewhere, no script in the page. Plotly writes styles, and draws its pictures from blobs and data.
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
NOT_KEPT = {"Cache-Control": "no-store"}
KEPT = {"Cache-Control": "private, max-age=31536000, immutable"}

SAID = {
    401: "You are not logged in, or your session is over: reload the whole page and log in again.",
    403: "This page is for those who may read the DAG saas_growth: ask whoever manages the users of this Airflow.",
    404: "There is no such page: choose one from the navigation, or go back.",
    405: "This page can only be read: go back.",
}

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def create_app() -> FastAPI:
    """The app. Every route stands behind the right to read the DAG, and what is no route as well."""
    app = FastAPI(
        title="Growth", dependencies=[MAY_READ], docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )

    @app.middleware("http")
    async def secure(request: Request, call_next: Callable[[Request], Any]) -> Response:
        response = await call_next(request)
        for name, value in (SECURITY | NOT_KEPT).items():
            response.headers.setdefault(name, value)
        return response

    @app.exception_handler(StarletteHTTPException)
    def refused(request: Request, error: StarletteHTTPException) -> Response:
        return message(SAID.get(error.status_code, str(error.detail)), error.status_code, error.headers)

    @app.exception_handler(UserError)
    def sentence(request: Request, error: UserError) -> Response:
        return message(str(error), 400 if isinstance(error, BadRequest) else 503)

    @app.exception_handler(Exception)
    def failed(request: Request, error: Exception) -> Response:
        response = message("The page could not be made: the reason is in the log of the API server.", 500)
        response.headers.update(SECURITY | NOT_KEPT)
        return response

    for page in PAGES:
        app.get(f"/{page.PATH}", name=page.PATH)(_page(page))
    for name in health.LISTS:
        app.get(f"/{name}.csv")(_download(name, lambda reader, sees, name=name: health.source(name, reader, sees)))
    app.get("/restatements.csv")(_download("restatements", lambda reader, sees: data_quality.ledger()))

    @app.get("/static/{version}/{name}")
    def static(version: str, name: str) -> Response:
        if name not in STATIC or version != _version(name):
            raise HTTPException(404)
        path, kind = STATIC[name]
        return FileResponse(path, media_type=kind, headers=KEPT)

    # Without it, what is not there would be answered before anybody is asked who they are.
    @app.api_route("/{path:path}", methods=METHODS)
    def nothing(path: str) -> Response:
        raise HTTPException(404)

    return app


def _page(page: ModuleType) -> Callable[..., Response]:
    # Not async: the database is asked in a thread.
    def show(request: Request, sees_emails: SeesEmails) -> Response:
        asked = read(request.query_params)
        with reading() as reader:
            return HTMLResponse(render(page, reader, asked, sees_emails))

    return show


def _download(name: str, source: Callable[[Reader, bool], Source]) -> Callable[..., Response]:
    def download(request: Request, sees_emails: SeesEmails) -> Response:
        asked = read(request.query_params)
        # The connection is open until the last row has been sent; what can go wrong is found before the first.
        with ExitStack() as stack:
            reader = stack.enter_context(reading())
            rows = as_csv(source(reader, sees_emails), reader, asked)
            first = next(rows)
            kept = stack.pop_all()

        def lines() -> Iterator[str]:
            with kept:
                yield first
                yield from rows

        headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
        return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)

    return download


# --- From content to HTML


def _json(value: Any) -> Markup:
    """JSON for a script element that is no script: text from the data cannot end it."""
    text = value if isinstance(value, str) else value.to_json()
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = _json
    environment.globals["static"] = lambda name: f"static/{_version(name)}/{name}"
    environment.globals["themes"] = {theme: figures.template(theme) for theme in figures.THEMES}
    return environment


@cache
def _version(name: str) -> str:
    """Changes with the file, so that a browser may keep it for ever."""
    return hashlib.sha256(STATIC[name][0].read_bytes()).hexdigest()[:16]


def message(text: str, status: int, headers: Any = None) -> HTMLResponse:
    """A page of one sentence. It needs no other file: who is not logged in gets none."""
    return HTMLResponse(_templates().get_template("message.html.jinja").render(text=text), status, headers)


def render(page: ModuleType, reader: Reader, asked: Filters, sees_emails: bool) -> str:
    """A page as HTML. What the warehouse has no tables for is left out, in the navigation as well."""
    template = _templates().get_template("page.html.jinja")
    there = [p for p in PAGES if reader.tables.issuperset(p.TABLES)]
    state = reader.row("state") if "run_state" in reader.tables else None
    if page not in there or not state or not state["published_date"]:
        waiting = "Nothing has been published yet: trigger the DAG saas_growth, and come back when it has run."
        return template.render(page=page, pages=[], asked=asked, state=None, waiting=waiting, content=None, form=None)
    months = [row["month"] for row in reader.rows("months")]
    within = asked.within(months)
    return template.render(
        page=page,
        pages=there,
        asked=asked,
        state=state,
        waiting=None,
        content=page.build(reader, within if page.FILTERS else asked, sees_emails),
        within=within,
        form=_form(page, reader, months, within),
    )


def _form(page: ModuleType, reader: Reader, months: list[str], asked: Filters) -> dict[str, list[str]] | None:
    """What the form of a page offers; a name that is asked for stands there whatever there is."""
    if not page.FILTERS:
        return None
    offered: dict[str, list[str]] = {"months": [month[:7] for month in months]}
    for month in (asked.since, asked.until):
        if month[:7] not in offered["months"]:
            offered["months"] = sorted([*offered["months"], month[:7]])
    for name, chosen in (("source", asked.source), ("campaign", asked.campaign)):
        if name in page.FILTERS:
            names = [row["name"] for row in reader.rows(f"{name}s", asked.bound, **asked.shape)]
            offered[name] = names if chosen is None or chosen in names else [chosen, *names]
    return offered
