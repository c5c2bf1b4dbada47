"""COCO AP of the models that were measured, by the hash that a back end gives."""

MEASURED_AP = {
    # mediapipe-pose-full with tiles
    "64f473f9e53d0be35b68a29d3f4ea6c12cc2b835ce56012b814f89800ac1b88a": 0.305,
    # yolox-nano, tinypose-256x192
    "8bef5fcf23acdf2786640f7f17a9b05c612f507a989dc665e741715ef72aef7b": 0.663,
    # rtmdet-nano, tinypose-256x192
    "44383fa7aab1c74140953059ce82e524c87a2100ee8f3e74990121444d530fe1": 0.670,
    # yolox-nano, tinypose-128x96
    "b26f175e17efaac6ffc65e5a5fe2a9f7f3516be1d745d73c7e0759b444cd8fee": 0.541,
    # yolox-nano, movenet-lightning-int8
    "c9aafb7c4cdc42109c8d185cc7440d112e381c4f0bd48b117d654076865b65a6": 0.359,
}
"""AP on 30 COCO train2017 images, everybody counted (`perfnet-prep pose-eval`, docs/pose.md)."""


def describe_estimator(name: str, model_hash: str) -> str:
    """Return one line that says which estimator is used and how good it is known to be.

    Args:
        name: Name of the back end.
        model_hash: SHA-256 hex digest that it gives for its models.
    """
    ap = MEASURED_AP.get(model_hash)
    how = f"COCO AP {ap:.2f} (30 images)" if ap is not None else "COCO AP not measured"
    way_out = "" if ap is not None else "; measure it with `perfnet-prep pose-eval`"
    return f"poses by {name} {model_hash[:12]}: {how}{way_out}"
