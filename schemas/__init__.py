"""Record types, annotation parsers, codecs and shard names; needs no video or ML library."""
