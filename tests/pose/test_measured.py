from pose.measured import MEASURED_AP, describe_estimator


def test_a_measured_estimator_is_named_with_its_ap() -> None:
    model_hash = next(iter(MEASURED_AP))
    line = describe_estimator("onnx", model_hash)
    assert line == (
        f"poses by onnx {model_hash[:12]}: COCO AP {MEASURED_AP[model_hash]:.2f} (30 images)"
    )


def test_an_unknown_estimator_is_said_to_be_unmeasured() -> None:
    line = describe_estimator("onnx", "0" * 64)
    assert line.endswith("COCO AP not measured; measure it with `perfnet-prep pose-eval`")
