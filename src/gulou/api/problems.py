"""Errors as problem documents: one table from the error tree to HTTP.

Source: RFC 9457 §3
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from gulou.api.asking import language_of
from gulou.kernel import Conflict, Denied, Fault, GulouError, Invalid, NotFound, Unavailable, render
from gulou.kernel.documents import problems_of

MEDIA_TYPE = "application/problem+json"
_STATUS_BY_CODE: Mapping[str, int] = {
    "access.unauthenticated": 401,
    "access.session_expired": 401,
    "access.token_expired": 401,
    "access.bad_credentials": 401,
    "access.locked": 429,
    "request.busy": 429,
    "request.too_large": 413,
    "request.content_type": 415,
    "request.method": 405,
    "fault.absent": 501,
}
_TITLES: Mapping[type[GulouError], Mapping[str, str]] = {
    Invalid: {"en": "The request is wrong", "zh": "请求有误"},
    NotFound: {"en": "Not found", "zh": "不存在"},
    Conflict: {"en": "Conflict with the present state", "zh": "与当前状态冲突"},
    Denied: {"en": "Not permitted", "zh": "没有权限"},
    Unavailable: {"en": "Not available at this moment", "zh": "暂时不可用"},
    Fault: {"en": "Fault", "zh": "故障"},
}
_ERRORS_MAX = 100


def status_of(error: GulouError) -> int:
    """Return the HTTP status of an error."""
    return _STATUS_BY_CODE.get(error.code, error.status)


def problem_of(error: GulouError, language: str, path: str) -> dict[str, Any]:
    """Return an error as a problem document, with its sentence in ``language``."""
    kind = next((known for known in _TITLES if isinstance(error, known)), Fault)
    return {
        "type": f"urn:gulou:problem:{error.code}",
        "title": _TITLES[kind].get(language, _TITLES[kind]["en"]),
        "status": status_of(error),
        "code": error.code,
        "detail": render(error.code, error.params, language),
        "instance": path,
        "retry": error.retry,
        "params": {key: value for key, value in error.params.items() if key not in {"errors", "problems"}},
        "errors": error.params.get("errors") or _document_errors(error, language),
    }


def _document_errors(error: GulouError, language: str) -> list[dict[str, str]]:
    """List what is wrong in a document that people wrote (a rule, a mapping, a pack), with file, line and column."""
    found = problems_of(error)[:_ERRORS_MAX] if isinstance(error, Invalid) else []
    return [
        {"where": f"{one.file}:{one.line}:{one.column}", "message": render(one.code, one.params, language)}
        for one in found
    ]


def problem_response(error: GulouError, language: str, path: str) -> Response:
    """Return an error as an HTTP response."""
    status = status_of(error)
    headers = {"Cache-Control": "no-store"}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="gulou"'
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        headers["Retry-After"] = str(error.params.get("retry_after_s", 5))
    body = msgspec.json.encode(problem_of(error, language, path), enc_hook=str)
    return Response(body, status, headers, MEDIA_TYPE)


def install_problem_handlers(application: FastAPI) -> None:
    """Make every error of a route leave as a problem document."""

    def of_gulou(request: Request, error: Exception) -> Response:
        return problem_response(_as_gulou_error(error), language_of(request), request.url.path)

    def of_validation(request: Request, error: Exception) -> Response:
        return of_gulou(request, _from_validation(error))

    def of_http(request: Request, error: Exception) -> Response:
        return of_gulou(request, _from_http(request, error))

    application.add_exception_handler(GulouError, of_gulou)
    application.add_exception_handler(RequestValidationError, of_validation)
    application.add_exception_handler(HTTPException, of_http)


def _as_gulou_error(error: Exception) -> GulouError:
    return error if isinstance(error, GulouError) else Fault("fault.internal", reference="")


def _from_validation(error: Exception) -> GulouError:
    """Name the fields that are wrong; never their values, which may be secrets."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    errors = [
        {"where": ".".join(str(part) for part in item["loc"]), "message": str(item["msg"])}
        for item in found[:_ERRORS_MAX]
    ]
    first = errors[0] if errors else {"where": "", "message": ""}
    return Invalid("request.malformed", problem=first["message"], where=first["where"], errors=errors)


def _from_http(request: Request, error: Exception) -> GulouError:
    status = error.status_code if isinstance(error, HTTPException) else 500
    path = request.url.path
    if status == HTTPStatus.NOT_FOUND:
        return NotFound("request.not_found", path=path)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (getattr(error, "headers", None) or {}).get("Allow", "")
        return Invalid("request.method", method=request.method, path=path, allowed=allowed)
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return Invalid("request.malformed", problem=str(getattr(error, "detail", "")), where="body")
    return Fault("fault.internal", reference="")
