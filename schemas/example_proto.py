"""TensorFlow's Example and SequenceExample messages, without TensorFlow.

The message types are built from the published layout of `tensorflow/core/example` in a
descriptor pool of their own, so they can live beside an imported TensorFlow.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "tensorflow"
_FIELD = descriptor_pb2.FieldDescriptorProto


def _add_field(
    message: Any, name: str, number: int, kind: int, *, type_name: str = "", packed: bool = False
) -> Any:
    field = message.field.add(name=name, number=number, type=kind, label=_FIELD.LABEL_REPEATED)
    if type_name:
        field.type_name = f".{_PACKAGE}.{type_name}"
    if packed:
        field.options.packed = True
    return field


def _add_single(message: Any, name: str, number: int, type_name: str) -> Any:
    field = _add_field(message, name, number, _FIELD.TYPE_MESSAGE, type_name=type_name)
    field.label = _FIELD.LABEL_OPTIONAL
    return field


def _add_map(message: Any, name: str, number: int, value_type: str) -> None:
    entry_name = name.title().replace("_", "") + "Entry"
    entry = message.nested_type.add(name=entry_name)
    entry.options.map_entry = True
    key = _add_field(entry, "key", 1, _FIELD.TYPE_STRING)
    key.label = _FIELD.LABEL_OPTIONAL
    _add_single(entry, "value", 2, value_type)
    _add_field(message, name, number, _FIELD.TYPE_MESSAGE, type_name=f"{message.name}.{entry_name}")


def _build_file() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="perfnet_prep/example.proto", package=_PACKAGE, syntax="proto3"
    )
    _add_field(file.message_type.add(name="BytesList"), "value", 1, _FIELD.TYPE_BYTES)
    floats = file.message_type.add(name="FloatList")
    _add_field(floats, "value", 1, _FIELD.TYPE_FLOAT, packed=True)
    ints = file.message_type.add(name="Int64List")
    _add_field(ints, "value", 1, _FIELD.TYPE_INT64, packed=True)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    kinds = (("bytes_list", "BytesList"), ("float_list", "FloatList"), ("int64_list", "Int64List"))
    for number, (name, type_name) in enumerate(kinds, 1):
        _add_single(feature, name, number, type_name).oneof_index = 0
    _add_map(file.message_type.add(name="Features"), "feature", 1, "Feature")
    feature_list = file.message_type.add(name="FeatureList")
    _add_field(feature_list, "feature", 1, _FIELD.TYPE_MESSAGE, type_name="Feature")
    _add_map(file.message_type.add(name="FeatureLists"), "feature_list", 1, "FeatureList")
    sequence = file.message_type.add(name="SequenceExample")
    _add_single(sequence, "context", 1, "Features")
    _add_single(sequence, "feature_lists", 2, "FeatureLists")
    return file


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_build_file())


def _message_type(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


SequenceExample = _message_type("SequenceExample")
"""Message with `context` features and `feature_lists`; wire-compatible with TensorFlow's."""

FeatureList = _message_type("FeatureList")
"""One of its `feature_lists`: message with one `feature` for each frame."""
