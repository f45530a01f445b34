"""What a config may say, as a JSON Schema: an editor completes and checks a config with it.

A schema knows how each value is written, and not all that ``load`` knows: the ranges of sizes and times, which regions
there are, what only live or only a rehearsal takes. It refers to nothing and has no keyword younger than draft 7, so
that older editors read it, too. Its language: https://json-schema.org/draft/2020-12/json-schema-validation.
"""

import json
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ChainSchema, NullableSchema

from orchestrator.settings import Settings
from orchestrator.settings.mistakes import Expected, members


def text() -> str:
    """The schema as it is in ``config/settings.schema.json``."""
    schema = {"$schema": GenerateJsonSchema.schema_dialect, **_section(Settings)}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _section(model: type[BaseModel]) -> dict[str, Any]:
    required = [name for name, field in model.model_fields.items() if field.is_required()]
    extra = model.model_config.get("json_schema_extra")
    return {
        "description": model.__doc__,
        "type": "object",
        "properties": {name: _field(field) for name, field in model.model_fields.items()},
        **({"required": required} if required else {}),
        "additionalProperties": False,
        **(extra if isinstance(extra, dict) else {}),
    }


def _field(field: FieldInfo) -> dict[str, Any]:
    match members(field):
        case []:
            return _value(field)
        case [section] if field.is_required():
            return _section(section)
        case [section]:  # One with all its lines commented out is null in YAML.
            return _section(section) | {"type": ["object", "null"]}
        case clouds:
            return {"oneOf": [_section(cloud) for cloud in clouds]}


def _value(field: FieldInfo) -> dict[str, Any]:
    kind = TypeAdapter[Any](field.rebuild_annotation())
    expected = "".join(f"\n\nTakes {item.text}." for item in field.metadata if isinstance(item, Expected))
    schema = {"description": f"{field.description}{expected}", **kind.json_schema(schema_generator=_AsWritten)}
    for leaked in ("ge", "le", "multiple_of"):  # Limits in bytes and seconds, which pydantic does not translate.
        schema.pop(leaked, None)
    if not field.is_required() and not field.default_factory:
        schema["default"] = kind.dump_python(field.default, mode="json")
    if field.examples:
        schema["examples"] = field.examples
    return schema | (field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {})


class _AsWritten(GenerateJsonSchema):
    """Pydantic's schema of one value."""

    def chain_schema(self, schema: ChainSchema) -> JsonSchemaValue:
        """Each step counts: pydantic would forget the pattern of a text that has a validator."""
        return {name: value for step in schema["steps"] for name, value in self.generate_inner(step).items()}

    def nullable_schema(self, schema: NullableSchema) -> JsonSchemaValue:
        """One schema with two types, which editors complete better than two schemas."""
        inner = self.generate_inner(schema["schema"])
        return inner | {"type": [inner["type"], "null"]}
