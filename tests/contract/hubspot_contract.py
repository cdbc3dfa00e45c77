"""What HubSpot's API looks like, derived from the installed client library (hubspot-api-client, Apache-2.0).

HubSpot's own OpenAPI files are not licensed for use by others, so nothing of them is here: paths, parameters, types,
required fields and enumerations are read out of the code of the library, which was generated from them and is free.

    python -m tests.contract.hubspot_contract OUT.json
"""

from __future__ import annotations

import ast
import functools
import importlib
import json
import pkgutil
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

Schema = dict[str, Any]

PACKAGES = {
    "companies": "hubspot.crm.companies",
    "deals": "hubspot.crm.deals",
    "owners": "hubspot.crm.owners",
    "properties": "hubspot.crm.properties",
    "associations": "hubspot.crm.associations.v4",
}
MOST_INPUTS = {"companies": 100, "deals": 100, "properties": 100}
"""Batch limits that are documented in prose only; the library knows none."""

_PLAIN: dict[str, Schema] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "datetime": {"type": "string", "format": "date-time"},
    "object": {},
}
_DEALS_BY_TYPE_ID = "/crm/v3/objects/0-3"
_formats = FormatChecker(formats=())


@_formats.checks("date-time", raises=ValueError)
def _is_instant(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@functools.cache
def derive() -> Schema:
    """The OpenAPI 3.1 description of companies, deals, owners, properties and associations."""
    schemas: dict[str, Schema] = {}
    paths: dict[str, dict[str, Schema]] = {}
    for prefix, package in PACKAGES.items():
        for module in _modules(f"{package}.models"):
            schemas |= {f"{prefix}.{name}": schema for name, schema in _models(module, prefix)}
        for module in _modules(f"{package}.api"):
            for path, method, operation in _operations(module, prefix):
                paths.setdefault(path.replace(_DEALS_BY_TYPE_ID, "/crm/v3/objects/deals"), {})[method] = operation
    info = {"title": "HubSpot CRM, derived from hubspot-api-client", "version": "v3", "license": {"name": "Apache-2.0"}}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def problems(method: str, path: str, status: int, body: Any) -> list[str] | None:
    """What is wrong with a reply; empty when nothing is, None when the description does not know the call."""
    operation = _operation(method, path)
    if operation is None:
        return None
    replies = operation["responses"]
    if status < 400 and str(status) not in replies:
        return [f"status {status} is not one of {sorted(replies)}"]
    content = replies.get(str(status), replies["default"]).get("content")
    if content is None:
        return [] if body is None else [f"status {status} has a body; expected none"]
    found = _validator(content["application/json"]["schema"]["$ref"]).iter_errors(body)
    return sorted(f"{error.json_path}: {error.message[:300]}" for error in found)


def request_problems(method: str, path: str, body: Any) -> list[str] | None:
    """What is wrong with the body of a request; None when the description does not know the call."""
    operation = _operation(method, path)
    if operation is None:
        return None
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if schema is None or "$ref" not in schema:
        return []
    return sorted(f"{error.json_path}: {error.message[:300]}" for error in _validator(schema["$ref"]).iter_errors(body))


@functools.cache
def _validator(reference: str) -> Draft202012Validator:
    whole = {"$ref": reference, "components": derive()["components"]}
    return Draft202012Validator(whole, format_checker=_formats)


@functools.cache
def _operation(method: str, path: str) -> Schema | None:
    """The operation a path stands for; of several the one with the fewest placeholders."""
    fits = [t for t in derive()["paths"] if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", t.rstrip("/")), path.rstrip("/"))]
    fits = [template for template in fits if method.lower() in derive()["paths"][template]]
    best = min(fits, key=lambda template: template.count("{"), default=None)
    return None if best is None else derive()["paths"][best][method.lower()]


def _modules(package_name: str) -> Iterator[ModuleType]:
    package = importlib.import_module(package_name)
    for found in pkgutil.iter_modules(package.__path__):
        yield importlib.import_module(f"{package_name}.{found.name}")


def _classes(module: ModuleType) -> list[ast.ClassDef]:
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    return [node for node in tree.body if isinstance(node, ast.ClassDef)]


def _models(module: ModuleType, prefix: str) -> Iterator[tuple[str, Schema]]:
    """Models of a module. The setters say what is required and which values are allowed."""
    for node in _classes(module):
        model = getattr(module, node.name)
        names: dict[str, str] = model.attribute_map
        properties = {names[attribute]: _type(text, prefix) for attribute, text in model.openapi_types.items()}
        required = []
        for setter in (f for f in node.body if isinstance(f, ast.FunctionDef) and _is_setter(f)):
            if "must not be `None`" in ast.unparse(setter):
                required.append(names[setter.name])
            if (allowed := _assigned(setter, "allowed_values")) is not None:
                kept = [value for value in ast.literal_eval(allowed) if value is not None]
                properties[names[setter.name]]["enum"] = kept
        yield (
            node.name,
            _loosened(prefix, node.name, {"type": "object", "properties": properties, "required": required}),
        )


def _loosened(prefix: str, name: str, schema: Schema) -> Schema:
    """Say what the server does where the generated description is stricter or says nothing."""
    properties = schema["properties"]
    if "BatchReadInput" in name:
        schema["required"] = ["inputs"]  # the documentation leaves the rest out
    if not name.endswith(("Input", "InputUpsert", "ForCreate")) and "additionalProperties" in properties.get(
        "properties", {}
    ):
        properties["properties"]["additionalProperties"] = {"type": ["string", "null"]}  # an unset property is null
    if "inputs" in properties and prefix in MOST_INPUTS:
        properties["inputs"]["maxItems"] = MOST_INPUTS[prefix]
    return schema


def _operations(module: ModuleType, prefix: str) -> Iterator[tuple[str, str, Schema]]:
    for node in _classes(module):
        for function in (f for f in node.body if isinstance(f, ast.FunctionDef)):
            if function.name.endswith("_with_http_info"):
                yield _call(function, prefix)


def _call(function: ast.FunctionDef, prefix: str) -> tuple[str, str, Schema]:
    """Path, method and operation of one call."""
    types = dict(re.findall(r":type (\w+): ([^\n,]+)", ast.get_docstring(function) or ""))
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    sent = next(c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr == "call_api")
    path, method = (ast.literal_eval(argument) for argument in sent.args[:2])
    operation: Schema = {
        "operationId": f"{prefix}.{function.name.removesuffix('_with_http_info')}",
        "parameters": [*_path_parameters(function, types, prefix), *_query_parameters(calls, types, prefix)],
        "responses": _replies(function, prefix),
    }
    body = _assigned(function, "body_params", skip_none=True)
    if body is not None:
        schema = _type(types[_variable(body)], prefix)
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return path, method.lower(), operation


def _replies(function: ast.FunctionDef, prefix: str) -> Schema:
    by_status = _assigned(function, "response_types_map")
    known = ast.literal_eval(by_status) if by_status is not None else {}
    replies: Schema = {str(status): _reply(name, prefix) for status, name in known.items()}
    return {**(replies or {"204": {"description": "no content"}}), "default": _reply("Error", prefix)}


def _reply(name: str, prefix: str) -> Schema:
    schema = {"$ref": f"#/components/schemas/{prefix}.{name}"}
    return {"description": name, "content": {"application/json": {"schema": schema}}}


def _path_parameters(function: ast.FunctionDef, types: dict[str, str], prefix: str) -> Iterator[Schema]:
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).startswith("path_params["):
            target = node.targets[0]
            assert isinstance(target, ast.Subscript)
            schema = _type(types[_variable(node.value)], prefix)
            yield {"name": ast.literal_eval(target.slice), "in": "path", "required": True, "schema": schema}


def _query_parameters(calls: list[ast.Call], types: dict[str, str], prefix: str) -> Iterator[Schema]:
    for call in calls:
        if ast.unparse(call.func) == "query_params.append":
            pair = call.args[0]
            assert isinstance(pair, ast.Tuple)
            schema = _type(types[_variable(pair.elts[1])], prefix)
            yield {"name": ast.literal_eval(pair.elts[0]), "in": "query", "schema": schema}


def _variable(node: ast.expr) -> str:
    """The x of local_var_params["x"]."""
    assert isinstance(node, ast.Subscript), ast.unparse(node)
    return str(ast.literal_eval(node.slice))


def _assigned(function: ast.FunctionDef, name: str, *, skip_none: bool = False) -> ast.expr | None:
    """What a name is set to in a function; None when it is not set."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            if skip_none and ast.unparse(node.value) == "None":
                continue
            return node.value
    return None


def _is_setter(function: ast.FunctionDef) -> bool:
    return any(isinstance(d, ast.Attribute) and d.attr == "setter" for d in function.decorator_list)


def _type(text: str, prefix: str) -> Schema:
    """A type as the library writes it: str, list[str], dict[str, Model], Model."""
    text = text.strip()
    if listed := re.fullmatch(r"list\[(.+)\]", text):
        return {"type": "array", "items": _type(listed[1], prefix)}
    if mapped := re.fullmatch(r"dict[\[(]str, (.+)[\])]", text):
        return {"type": "object", "additionalProperties": _type(mapped[1], prefix)}
    return dict(_PLAIN[text]) if text in _PLAIN else {"$ref": f"#/components/schemas/{prefix}.{text}"}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(derive(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
