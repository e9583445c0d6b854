"""How the images of published ImageNet weights are prepared."""

from typing import Literal

from ..data.preprocess import Preprocess

_PIXELS = {  # of 0..255, as keras.applications names the three ways
    "tf": {"scale": 1 / 127.5, "mean": 1.0},
    "caffe": {"scale": 1.0, "mean": (103.939, 116.779, 123.68), "order": "bgr"},
    "torch": {"scale": 1 / 255, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
}


def recipe(pixels: Literal["tf", "caffe", "torch"], size: int = 224, resize_to: int = 256) -> Preprocess:
    """Short side to `resize_to` pixels, bilinear, and the centre of `size` pixels cut out; then pixels to

    tf      -1..1 (MobileNet, Xception, Inception, ResNetV2)
    caffe   channels blue, green, red, each less its mean over ImageNet (VGG, Keras' ResNet)
    torch   channels red, green, blue of 0..1, less the mean and divided by the standard deviation over ImageNet (torchvision, DenseNet)
    """
    return Preprocess(size, resize="crop", resize_to=resize_to, **_PIXELS[pixels])
