"""Croissant metadata of a data set (MLCommons, version 1.0): https://docs.mlcommons.org/croissant/docs/croissant-spec.html."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from rewild import __version__
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
            {
                "@type": "cr:Field",
                "@id": f"{name}/{column}",
                "name": column,
                "description": about.description,
                "dataType": _type(about.dtype),
                **({"repeated": True} if isinstance(about.dtype, pl.List) else {}),
                "source": {"fileObject": {"@id": one.target}, "extract": {"column": column}},
            }
            for column, about in one.schema.columns.items()
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


def _type(dtype: Any) -> str:
    if isinstance(dtype, pl.List):
        return _type(dtype.inner)
    if isinstance(dtype, type) and issubclass(dtype, pl.DataType):
        dtype = dtype()
    if isinstance(dtype, pl.Boolean):
        return "sc:Boolean"
    return "sc:Integer" if dtype.is_integer() else "sc:Float" if dtype.is_float() else "sc:Text"
