"""Croissant metadata of a data set (MLCommons, version 1.0): https://docs.mlcommons.org/croissant/docs/croissant-spec.html."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from rewild import __version__
from rewild.core.table import Column
from rewild.operate.release.units import Case, Unit

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The specification's own."""


def describe(case: Case, unit: Unit, files: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The metadata: each file with its SHA-256, and a record set per part with its columns.

    Args:
        case: the study.
        unit: the data set.
        files: place in the repository → ``sha256``, ``bytes``, ``rows``.
    """
    tables = [one for one in unit.tables if one.target in files]
    objects = [
        {
            "@type": "cr:FileObject",
            "@id": one.target,
            "name": one.target,
            "contentUrl": one.target,
            "contentSize": f"{files[one.target]['bytes']} B",
            "encodingFormat": "application/x-parquet",
            "sha256": files[one.target]["sha256"],
        }
        for one in tables
    ]
    records = []
    for one in tables:
        name = one.target.removeprefix("data/").removesuffix(".parquet")
        fields = [
            _field(f"{name}/{column}", column, about, one.target) for column, about in one.columns.items()
        ]
        key = [{"@id": f"{name}/{column}"} for column in one.schema.key]
        records.append({"@type": "cr:RecordSet", "@id": name, "name": name, "key": key, "field": fields})
    titles = [unit.terms.rows[name].title for name in unit.terms.licences]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": unit.name,
        "description": f"{unit.title}. {case.study.title}.",
        "license": titles,
        "version": __version__,
        "keywords": ["synthetic data", "post-training", unit.what],
        **({"citeAs": case.release.citation} if case.release.citation else {}),
        "distribution": objects,
        "recordSet": records,
    }


def _field(name: str, column: str, about: Column, file: str) -> dict[str, Any]:
    """A column: a list is repeated, and what has parts (a message of a chat) is described part by part."""
    dtype = about.dtype
    source = {"fileObject": {"@id": file}, "extract": {"column": column}}
    found: dict[str, Any] = {"@type": "cr:Field", "@id": name, "name": column}
    found["description"] = about.description
    if isinstance(dtype, pl.List):
        found["repeated"] = True
        dtype = dtype.inner
    if not isinstance(dtype, pl.Struct):
        return found | {"dataType": _type(dtype), "source": source}
    parts = [
        {
            "@type": "cr:Field",
            "@id": f"{name}/{part.name}",
            "name": part.name,
            "dataType": _type(part.dtype),
            "source": source | {"transform": {"jsonPath": part.name}},
        }
        for part in dtype.fields
    ]
    return found | {"subField": parts}


def _type(dtype: Any) -> str:
    kind = dtype() if isinstance(dtype, type) else dtype
    if isinstance(kind, pl.Boolean):
        return "sc:Boolean"
    return "sc:Integer" if kind.is_integer() else "sc:Float" if kind.is_float() else "sc:Text"
