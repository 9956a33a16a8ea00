"""The app behind the entry "Growth": its routes, its error messages, and the headers of every response."""

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
from growth.language.queries import Reader
from growth.ui import figures
from growth.ui.access import MAY_READ, SeesEmails
from growth.ui.filters import BadRequest, Filters, read
from growth.ui.listing import ListedTable, as_csv
from growth.ui.pages import PAGES, data_quality, health
from growth.ui.warehouse import reading

log = logging.getLogger(__name__)

HERE = Path(__file__).parent
STATIC = {
    "growth.css": (HERE / "static/growth.css", "text/css"),
    "growth.js": (HERE / "static/growth.js", "text/javascript"),
    # The script that the Python package ships: its version fits the figures.
    "plotly.min.js": (Path(str(files(plotly) / "package_data/plotly.min.js")), "text/javascript"),
}

# Nothing from other hosts and no inline script. Plotly needs inline styles, and images from blobs and data URLs.
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
NO_STORE = {"Cache-Control": "no-store"}
IMMUTABLE = {"Cache-Control": "private, max-age=31536000, immutable"}

MESSAGES = {
    401: "You are not logged in, or your session is over: reload the whole page and log in again.",
    403: "This page needs the right to read the DAG saas_growth: ask the administrator of this Airflow for it.",
    404: "There is no such page: choose one from the navigation, or go back.",
    405: "This page can only be read: go back.",
}

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def create_app() -> FastAPI:
    """The app. Every path needs the right to read the DAG, also those that do not exist."""
    app = FastAPI(
        title="Growth", dependencies=[MAY_READ], docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )

    @app.middleware("http")
    async def secure(request: Request, call_next: Callable[[Request], Any]) -> Response:
        response = await call_next(request)
        for name, value in (SECURITY | NO_STORE).items():
            response.headers.setdefault(name, value)
        return response

    @app.exception_handler(StarletteHTTPException)
    def refused(request: Request, error: StarletteHTTPException) -> Response:
        return message(MESSAGES.get(error.status_code, str(error.detail)), error.status_code, error.headers)

    @app.exception_handler(UserError)
    def sentence(request: Request, error: UserError) -> Response:
        return message(str(error), 400 if isinstance(error, BadRequest) else 503)

    @app.exception_handler(Exception)
    def failed(request: Request, error: Exception) -> Response:
        response = message("The page could not be made: the reason is in the log of the API server.", 500)
        response.headers.update(SECURITY | NO_STORE)
        return response

    for page in PAGES:
        app.get(f"/{page.PATH}", name=page.PATH)(_page(page))
    for name in health.LISTS:
        app.get(f"/{name}.csv")(_download(name, lambda reader, sees, name=name: health.user_list(name, reader, sees)))
    app.get("/restatements.csv")(_download("restatements", lambda reader, sees: data_quality.ledger()))

    @app.get("/static/{version}/{name}")
    def static(version: str, name: str) -> Response:
        if name not in STATIC or version != _version(name):
            raise HTTPException(404)
        path, kind = STATIC[name]
        return FileResponse(path, media_type=kind, headers=IMMUTABLE)

    # Without this route, FastAPI would answer 404 before it checks who is asking.
    @app.api_route("/{path:path}", methods=METHODS)
    def nothing(path: str) -> Response:
        raise HTTPException(404)

    return app


def _page(page: ModuleType) -> Callable[..., Response]:
    # Not async, so that FastAPI runs the queries in a thread.
    def show(request: Request, sees_emails: SeesEmails) -> Response:
        asked = read(request.query_params)
        with reading() as reader:
            return HTMLResponse(render(page, reader, asked, sees_emails))

    return show


def _download(name: str, table: Callable[[Reader, bool], ListedTable]) -> Callable[..., Response]:
    def download(request: Request, sees_emails: SeesEmails) -> Response:
        asked = read(request.query_params)
        # The connection stays open until the last row is sent; errors appear before the first one is.
        with ExitStack() as stack:
            reader = stack.enter_context(reading())
            rows = as_csv(table(reader, sees_emails), reader, asked)
            first = next(rows)
            open_connection = stack.pop_all()

        def lines() -> Iterator[str]:
            with open_connection:
                yield first
                yield from rows

        headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
        return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)

    return download


# --- From content to HTML


def _json(value: Any) -> Markup:
    """JSON for a script element of type JSON, in which no text from the data can close the element."""
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
    """A hash of the file, so that browsers can cache its address for ever."""
    return hashlib.sha256(STATIC[name][0].read_bytes()).hexdigest()[:16]


def message(text: str, status: int, headers: Any = None) -> HTMLResponse:
    """A page of one sentence. It links no other file, because without a login there is none."""
    return HTMLResponse(_templates().get_template("message.html.jinja").render(text=text), status, headers)


def render(page: ModuleType, reader: Reader, asked: Filters, sees_emails: bool) -> str:
    """A page as HTML. Pages whose tables are missing in the warehouse are left out of the navigation."""
    template = _templates().get_template("page.html.jinja")
    available = [p for p in PAGES if reader.tables.issuperset(p.TABLES)]
    state = reader.row("page/state") if "run_state" in reader.tables else None
    if page not in available or not state or not state["published_date"]:
        waiting = "Nothing has been published yet: trigger the DAG saas_growth, and come back when it has run."
        return template.render(page=page, pages=[], asked=asked, state=None, waiting=waiting, content=None, form=None)
    months = [row["month"] for row in reader.rows("page/months")]
    within = asked.within(months)
    return template.render(
        page=page,
        pages=available,
        asked=asked,
        state=state,
        waiting=None,
        content=page.build(reader, within if page.FILTERS else asked, sees_emails),
        within=within,
        form=_form(page, reader, months, within),
    )


def _form(page: ModuleType, reader: Reader, months: list[str], asked: Filters) -> dict[str, list[str]] | None:
    """The choices of a page's form; a choice that was made is always among them."""
    if not page.FILTERS:
        return None
    offered: dict[str, list[str]] = {"months": [month[:7] for month in months]}
    for month in (asked.since, asked.until):
        if month[:7] not in offered["months"]:
            offered["months"] = sorted([*offered["months"], month[:7]])
    for name, chosen in (("source", asked.source), ("campaign", asked.campaign)):
        if name in page.FILTERS:
            names = _names(reader, name, asked)
            offered[name] = names if chosen is None or chosen in names else [chosen, *names]
    return offered


def _names(reader: Reader, name: str, asked: Filters) -> list[str]:
    if name == "source":
        rows = reader.rows("page/sources")
    else:
        rows = reader.rows("page/campaigns", asked.parameters, by_source=asked.source is not None)
    return [row["name"] for row in rows]
