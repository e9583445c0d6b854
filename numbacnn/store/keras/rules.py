"""The layer classes of Keras that have a counterpart here: one rule each, for both directions. This is the allow-list.

A class that is not in the list, and that no registered layer has the name of, is refused. Nothing is imported by a name in a file.
"""

from dataclasses import dataclass, replace

_KERNEL = ("use_bias", "activation", "kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer")
_DEPTHWISE = ("use_bias", "activation", "depthwise_initializer", "bias_initializer", "depthwise_regularizer", "bias_regularizer")
_NORM = ("epsilon", "center", "scale", "beta_initializer", "gamma_initializer", "beta_regularizer", "gamma_regularizer")
_WINDOW = ("kernel_size", "strides", "padding", "dilation_rate")
_LEFT = ("kernel_initializer", "kernel_regularizer")  # of the base class, in older files


@dataclass(frozen=True)
class Rule:
    """How a class of Keras becomes a layer of ours, and back.

    fields   options with the same name and meaning on both sides
    renamed  (another name in Keras' files, ours)
    vectors  fields that are one number, or one a channel
    channels whether there is an option `axis`, which must mean the channels
    only     (option, values that it may have): others would change what the layer computes
    unused   options without an effect on what the layer computes
    written  whether our layer is written as this class
    module   where Keras 3 finds it
    """

    keras: str
    ours: str
    fields: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    vectors: tuple[str, ...] = ()
    channels: bool = False
    only: tuple[tuple[str, tuple], ...] = ()
    unused: tuple[str, ...] = ()
    written: bool = True
    module: str = "keras.layers"


def _same(name: str, *fields: str, **options: object) -> Rule:
    return Rule(name, name, fields, **options)


_ALL = (
    _same("Conv2D", "filters", *_WINDOW, "groups", *_KERNEL),
    _same("DepthwiseConv2D", *_WINDOW, "depth_multiplier", *_DEPTHWISE, only=(("groups", (1,)),), unused=_LEFT),
    _same(
        "SeparableConv2D",
        *("filters", *_WINDOW, "depth_multiplier", *_DEPTHWISE, "pointwise_initializer", "pointwise_regularizer"),
        only=(("groups", (1,)),),
        unused=_LEFT,
    ),
    _same("Conv2DTranspose", "filters", *_WINDOW, "output_padding", *_KERNEL, only=(("groups", (1,)),)),
    _same("Dense", "units", *_KERNEL),
    _same("MaxPooling2D", "pool_size", "strides", "padding"),
    _same("AveragePooling2D", "pool_size", "strides", "padding"),
    _same("GlobalAveragePooling2D", "keepdims"),
    _same("GlobalMaxPooling2D", "keepdims"),
    _same(
        "BatchNormalization",
        *("momentum", *_NORM, "moving_mean_initializer", "moving_variance_initializer"),
        channels=True,
        only=(("renorm", (False,)), ("adjustment", ()), ("virtual_batch_size", ())),
        unused=("synchronized", "fused", "renorm_clipping", "renorm_momentum"),
    ),
    _same("LayerNormalization", *_NORM, channels=True, only=(("rms_scaling", (False,)),)),
    _same("GroupNormalization", "groups", *_NORM, channels=True),
    _same("Normalization", "invert", vectors=("mean", "variance"), channels=True),
    _same("Rescaling", vectors=("scale", "offset")),
    _same("LayerScale", "init_values", "projection_dim", module="keras.src.applications.convnext"),
    _same("ReLU", "max_value", "negative_slope", "threshold"),
    Rule("ThresholdedReLU", "ReLU", renamed=(("theta", "threshold"),), written=False),
    _same("LeakyReLU", "negative_slope", renamed=(("alpha", "negative_slope"),)),
    _same("PReLU", "alpha_initializer", "alpha_regularizer", "shared_axes"),
    _same("ELU", "alpha"),
    _same("Softmax", "axis"),
    _same("Activation", "activation"),
    _same("Flatten"),
    _same("Reshape", "target_shape"),
    _same("Permute", "dims"),
    _same("Dropout", "rate", "noise_shape", unused=("seed",)),
    Rule("StochasticDepth", "Dropout", renamed=(("drop_path_rate", "rate"),), unused=("seed",), written=False),
    _same("SpatialDropout2D", "rate", only=(("noise_shape", ()),), unused=("seed",)),
    _same("GaussianNoise", "stddev", unused=("seed",)),
    _same("GaussianDropout", "rate", unused=("seed",)),
    *(_same(name) for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Identity")),
    _same("Concatenate", "axis"),
    _same("ZeroPadding2D", "padding"),
    _same("Cropping2D", "cropping"),
    _same("UpSampling2D", "size", "interpolation"),
    _same(
        "Resizing",
        *("height", "width", "interpolation"),
        only=(("crop_to_aspect_ratio", (False,)), ("pad_to_aspect_ratio", (False,)), ("antialias", (False,))),
        unused=("fill_mode", "fill_value"),
    ),
)
RULES = {rule.keras: rule for rule in _ALL}
RULES |= {name: replace(RULES["BatchNormalization"], keras=name) for name in ("BatchNormalizationV1", "BatchNormalizationV2", "SyncBatchNormalization")}
WRITTEN = {rule.ours: rule for rule in _ALL if rule.written}

# What these do, they do in training only, to augment data or to penalize activations; at inference they hand their input on.
# numbacnn augments before the model (augment=), so that each becomes an Identity, and is written as one.
TRAINING_ONLY = frozenset(
    (
        *("ActivityRegularization", "AlphaDropout", "AugMix", "CutMix", "MixUp", "RandAugment"),
        *("RandomBrightness", "RandomColorDegeneration", "RandomColorJitter", "RandomContrast", "RandomElasticTransform", "RandomErasing", "RandomFlip"),
        *("RandomGaussianBlur", "RandomGrayscale", "RandomHue", "RandomInvert", "RandomPerspective", "RandomPosterization", "RandomRotation"),
        *("RandomSaturation", "RandomSharpness", "RandomShear", "RandomTranslation", "RandomZoom"),
    )
)

# What would run code that lies in the file, or in a place that the file names.
CODE = frozenset(("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "TensorFlowOpLayer", "__lambda__", "function"))
