"""Naive NumPy oracles, one function a layer, named like it: f(layer, weights, *xs, training=False) -> y.

xs and y have the batch axis; weights is a dict of arrays. They are written to be obviously right, not fast: loops over output
positions, straight from the definition. Losses, optimizers and metrics follow below the layers.
"""

import math

import numpy as np

# ---- shape and merging layers


def Flatten(layer, weights, x, training=False):
    return np.array([image.ravel() for image in x])


def Reshape(layer, weights, x, training=False):
    return np.array([image.ravel().reshape(layer.target_shape) for image in x])


def ZeroPadding2D(layer, weights, x, training=False):
    return np.pad(x, ((0, 0), *layer.padding, (0, 0)))


def Cropping2D(layer, weights, x, training=False):
    (top, bottom), (left, right) = layer.cropping
    h, w = x.shape[1:3]
    return x[:, top : h - bottom, left : w - right].copy()


def Permute(layer, weights, x, training=False):
    y = np.zeros((len(x), *layer.output_shape(x.shape[1:])), x.dtype)
    for place in np.ndindex(y.shape):
        source = [place[0]] + [0] * (x.ndim - 1)
        for axis, d in enumerate(layer.dims, 1):
            source[d] = place[axis]
        y[place] = x[tuple(source)]
    return y


def Resizing(layer, weights, x, training=False):
    """Each output pixel's centre lies somewhere between input pixels' centres, which are at halves."""
    n, h, w, c = x.shape
    y = np.zeros((n, layer.height, layer.width, c), x.dtype)
    for b, i, j in np.ndindex(y.shape[:3]):
        u, v = (i + 0.5) * h / layer.height, (j + 0.5) * w / layer.width
        if layer.interpolation == "nearest":
            y[b, i, j] = x[b, math.floor(u), math.floor(v)]
            continue
        for r in range(-1, h + 1):
            for q in range(-1, w + 1):
                share = max(0, 1 - abs(u - r - 0.5)) * max(0, 1 - abs(v - q - 0.5))
                y[b, i, j] += share * x[b, min(max(r, 0), h - 1), min(max(q, 0), w - 1)]
    return y


def UpSampling2D(layer, weights, x, training=False):
    n, h, w, c = x.shape
    rows, columns = layer.size
    y = np.zeros((n, h * rows, w * columns, c), x.dtype)

    def pixel(b, i, j):
        return x[b, min(max(i, 0), h - 1), min(max(j, 0), w - 1)]

    for b, i, j in np.ndindex(n, h * rows, w * columns):
        if layer.interpolation == "nearest":
            y[b, i, j] = pixel(b, i // rows, j // columns)
            continue
        u, v = (i + 0.5) / rows - 0.5, (j + 0.5) / columns - 0.5
        p, q = math.floor(u), math.floor(v)
        f, g = u - p, v - q
        y[b, i, j] = (1 - f) * ((1 - g) * pixel(b, p, q) + g * pixel(b, p, q + 1)) + f * ((1 - g) * pixel(b, p + 1, q) + g * pixel(b, p + 1, q + 1))
    return y


def _place_by_place(function, xs):
    xs = np.broadcast_arrays(*xs)
    y = np.zeros(xs[0].shape, xs[0].dtype)
    for place in np.ndindex(y.shape):
        y[place] = function([x[place] for x in xs])
    return y


def Add(layer, weights, *xs, training=False):
    return _place_by_place(sum, xs)


def Subtract(layer, weights, *xs, training=False):
    return _place_by_place(lambda v: v[0] - v[1], xs)


def Multiply(layer, weights, *xs, training=False):
    return _place_by_place(math.prod, xs)


def Average(layer, weights, *xs, training=False):
    return _place_by_place(lambda v: sum(v) / len(v), xs)


def Maximum(layer, weights, *xs, training=False):
    return _place_by_place(max, xs)


def Minimum(layer, weights, *xs, training=False):
    return _place_by_place(min, xs)


def Concatenate(layer, weights, *xs, training=False):
    return np.concatenate(xs, layer.axis)


# ---- optimizers: f(optimizer, w, g, state, learning_rate, step) -> new w, in float64; g is clipped and w decayed already; state starts empty


def SGD(optimizer, w, g, state, learning_rate, step):
    if optimizer.momentum == 0:
        return w - learning_rate * g
    state["momentum"] = optimizer.momentum * state.get("momentum", 0.0) - learning_rate * g
    if optimizer.nesterov:
        return w + optimizer.momentum * state["momentum"] - learning_rate * g
    return w + state["momentum"]


def RMSprop(optimizer, w, g, state, learning_rate, step):
    rho = optimizer.rho
    state["velocity"] = rho * state.get("velocity", 0.0) + (1 - rho) * g**2
    denominator = state["velocity"] + optimizer.epsilon
    if optimizer.centered:
        state["average"] = rho * state.get("average", 0.0) + (1 - rho) * g
        denominator = denominator - state["average"] ** 2
    increment = learning_rate * g / np.sqrt(denominator)
    if optimizer.momentum == 0:
        return w - increment
    state["momentum"] = optimizer.momentum * state.get("momentum", 0.0) + increment
    return w - state["momentum"]


def Adam(optimizer, w, g, state, learning_rate, step):
    b1, b2 = optimizer.beta_1, optimizer.beta_2
    state["momentum"] = b1 * state.get("momentum", 0.0) + (1 - b1) * g
    state["velocity"] = b2 * state.get("velocity", 0.0) + (1 - b2) * g**2
    root = state["velocity"]
    if optimizer.amsgrad:
        root = state["highest"] = np.maximum(state.get("highest", 0.0), state["velocity"])
    return w - learning_rate * np.sqrt(1 - b2**step) / (1 - b1**step) * state["momentum"] / (np.sqrt(root) + optimizer.epsilon)


AdamW = Adam


def Conv2D(layer, weights, x, training=False):
    n, h, w, _ = x.shape
    kernel = weights["kernel"]
    rows, columns, depth, filters = kernel.shape
    sizes, lows = [], []
    for size, k, stride, dilation in zip((h, w), (rows, columns), layer.strides, layer.dilation_rate, strict=True):
        span = (k - 1) * dilation + 1
        out = math.ceil(size / stride) if layer.padding == "same" else (size - span) // stride + 1
        sizes.append(out)
        lows.append(max((out - 1) * stride + span - size, 0) // 2 if layer.padding == "same" else 0)
    per_group = filters // layer.groups
    y = np.zeros((n, *sizes, filters), x.dtype)
    for r in range(sizes[0]):
        for c in range(sizes[1]):
            for i in range(rows):
                for j in range(columns):
                    a = r * layer.strides[0] + i * layer.dilation_rate[0] - lows[0]
                    b = c * layer.strides[1] + j * layer.dilation_rate[1] - lows[1]
                    if not (0 <= a < h and 0 <= b < w):
                        continue
                    for g in range(layer.groups):
                        outs = slice(g * per_group, (g + 1) * per_group)
                        y[:, r, c, outs] += x[:, a, b, g * depth : (g + 1) * depth] @ kernel[i, j, :, outs]
    return y + weights.get("bias", 0)


def Conv2DTranspose(layer, weights, x, training=False):
    n, h, w, _ = x.shape
    kernel = weights["kernel"]
    rows, columns, filters, _ = kernel.shape
    spans, sizes, lows = [], [], []
    for axis, size in enumerate((h, w)):
        stride, span = layer.strides[axis], (kernel.shape[axis] - 1) * layer.dilation_rate[axis] + 1
        spans.append((size - 1) * stride + span)
        if layer.output_padding is None:
            out = size * stride if layer.padding == "same" else size * stride + max(span - stride, 0)
            low = max(span - stride, 0) // 2
        else:
            border = span // 2 if layer.padding == "same" else 0
            out = (size - 1) * stride + span - 2 * border + layer.output_padding[axis]
            low = max(spans[-1] - out, 0) // 2
        sizes.append(out)
        lows.append(low if layer.padding == "same" else 0)
    full = np.zeros((n, spans[0] + sizes[0], spans[1] + sizes[1], filters), x.dtype)  # everything that the inputs reach, and room behind
    for r in range(h):
        for c in range(w):
            for i in range(rows):
                for j in range(columns):
                    a = r * layer.strides[0] + i * layer.dilation_rate[0]
                    b = c * layer.strides[1] + j * layer.dilation_rate[1]
                    full[:, a, b] += x[:, r, c] @ kernel[i, j].T
    y = full[:, lows[0] : lows[0] + sizes[0], lows[1] : lows[1] + sizes[1]]
    return y + weights.get("bias", 0)


# ---- losses: f(loss, prediction, target) -> (N,), both (N, ..., classes)


def _softmax(row):
    e = np.exp(row - max(row))
    return e / sum(e)


def _sample_means(function, prediction, target):
    """Mean over positions of function(row of prediction, row of target)."""
    rows = prediction.reshape(len(prediction), -1, prediction.shape[-1]), target.reshape(len(target), -1, target.shape[-1])
    return np.array([np.mean([function(z, t) for z, t in zip(zs, ts, strict=True)]) for zs, ts in zip(*rows, strict=True)])


def CrossEntropy(loss, prediction, target):
    def row(z, t):
        smooth = t * (1 - loss.label_smoothing) + loss.label_smoothing / len(t)
        weight = 1 if loss.class_weight is None else sum(t * np.array(loss.class_weight))
        return -sum(smooth * np.log(_softmax(z))) * weight

    return _sample_means(row, prediction, target)


def BinaryCrossEntropy(loss, prediction, target):
    def row(z, t):
        p, t = 1 / (1 + np.exp(-z)), t * (1 - loss.label_smoothing) + loss.label_smoothing / 2
        weight = 1 if loss.pos_weight is None else np.array(loss.pos_weight)
        return np.mean(-weight * t * np.log(p) - (1 - t) * np.log(1 - p))

    return _sample_means(row, prediction, target)


def Focal(loss, prediction, target):
    def single(z, t):
        p = _softmax(z)
        return -sum((1 if loss.alpha is None else loss.alpha) * (1 - p) ** loss.gamma * t * np.log(p))

    def multi(z, t):
        p = 1 / (1 + np.exp(-z))
        yes, no = (1, 1) if loss.alpha is None else (loss.alpha, 1 - loss.alpha)
        return np.mean(-yes * t * (1 - p) ** loss.gamma * np.log(p) - no * (1 - t) * p**loss.gamma * np.log(1 - p))

    return _sample_means(single if loss.task == "single_label" else multi, prediction, target)


BinaryFocal = Focal


def MeanSquaredError(loss, prediction, target):
    return _sample_means(lambda z, t: np.mean((z - t) ** 2), prediction, target)


def MeanAbsoluteError(loss, prediction, target):
    return _sample_means(lambda z, t: np.mean(np.abs(z - t)), prediction, target)


def Huber(loss, prediction, target):
    def one(e):
        return e * e / 2 if abs(e) <= loss.delta else loss.delta * (abs(e) - loss.delta / 2)

    return _sample_means(lambda z, t: np.mean([one(e) for e in z - t]), prediction, target)


def _pooling(layer, x, reduce):
    n, h, w, c = x.shape
    (kh, kw), (sh, sw) = layer.pool_size, layer.strides
    if layer.padding == "same":
        oh, ow = math.ceil(h / sh), math.ceil(w / sw)
        top, left = max((oh - 1) * sh + kh - h, 0) // 2, max((ow - 1) * sw + kw - w, 0) // 2
    else:
        oh, ow, top, left = (h - kh) // sh + 1, (w - kw) // sw + 1, 0, 0
    y = np.empty((n, oh, ow, c), x.dtype)
    for i in range(oh):
        for j in range(ow):
            rows = [r for r in range(i * sh - top, i * sh - top + kh) if 0 <= r < h]
            columns = [q for q in range(j * sw - left, j * sw - left + kw) if 0 <= q < w]
            y[:, i, j] = reduce(x[:, rows][:, :, columns], axis=(1, 2))
    return y


def MaxPooling2D(layer, weights, x, training=False):
    return _pooling(layer, x, np.max)


def AveragePooling2D(layer, weights, x, training=False):
    return _pooling(layer, x, np.mean)


def GlobalAveragePooling2D(layer, weights, x, training=False):
    return x.mean(axis=(1, 2), keepdims=layer.keepdims)


def GlobalMaxPooling2D(layer, weights, x, training=False):
    return x.max(axis=(1, 2), keepdims=layer.keepdims)


def BatchNormalization(layer, weights, x, training=False):
    y = np.empty_like(x)
    for c in range(x.shape[-1]):
        mean, variance = (x[..., c].mean(), x[..., c].var()) if training else (weights["moving_mean"][c], weights["moving_variance"][c])
        y[..., c] = (x[..., c] - mean) / math.sqrt(variance + layer.epsilon)
        y[..., c] = y[..., c] * (weights["gamma"][c] if layer.scale else 1) + (weights["beta"][c] if layer.center else 0)
    return y


def LayerNormalization(layer, weights, x, training=False):
    y = np.empty_like(x)
    for place in np.ndindex(x.shape[:-1]):
        y[place] = (x[place] - x[place].mean()) / math.sqrt(x[place].var() + layer.epsilon)
    return y * (weights["gamma"] if layer.scale else 1) + (weights["beta"] if layer.center else 0)


def GroupNormalization(layer, weights, x, training=False):
    y = np.empty_like(x)
    groups = x.shape[-1] if layer.groups == -1 else layer.groups
    depth = x.shape[-1] // groups
    for n in range(len(x)):
        for g in range(groups):
            part = x[n, ..., g * depth : (g + 1) * depth]
            y[n, ..., g * depth : (g + 1) * depth] = (part - part.mean()) / math.sqrt(part.var() + layer.epsilon)
    return y * (weights["gamma"] if layer.scale else 1) + (weights["beta"] if layer.center else 0)


def Normalization(layer, weights, x, training=False):
    mean = weights["mean"] if layer.mean is None else np.array(layer.mean)
    deviation = np.maximum(np.sqrt(weights["variance"] if layer.mean is None else np.array(layer.variance)), 1e-7)
    return (x * deviation + mean if layer.invert else (x - mean) / deviation).astype(x.dtype)


def Rescaling(layer, weights, x, training=False):
    return (x * np.array(layer.scale) + np.array(layer.offset)).astype(x.dtype)


def LayerScale(layer, weights, x, training=False):
    y = np.empty_like(x)
    for c in range(x.shape[-1]):
        y[..., c] = x[..., c] * weights["gamma"][c]
    return y


# ---- elementwise layers, softmax, dropout: one value at a time


def each(function, x):
    """`function` of every value."""
    return np.array([function(float(v)) for v in x.reshape(-1)]).reshape(x.shape)


def stable_sigmoid(v):
    return 1 / (1 + math.exp(-v)) if v >= 0 else math.exp(v) / (1 + math.exp(v))


def stable_softplus(v):
    return max(v, 0.0) + math.log1p(math.exp(-abs(v)))


def Identity(layer, weights, x, training=False):
    return x


def ReLU(layer, weights, x, training=False):
    def f(v):
        if layer.max_value is not None and v >= layer.max_value:
            return layer.max_value
        return v if v >= layer.threshold else layer.negative_slope * (v - layer.threshold)

    return each(f, x)


def ReLU6(layer, weights, x, training=False):
    return each(lambda v: min(max(v, 0.0), 6.0), x)


def LeakyReLU(layer, weights, x, training=False):
    return each(lambda v: v if v > 0 else layer.negative_slope * v, x)


def PReLU(layer, weights, x, training=False):
    return np.where(x > 0, x, x * weights["alpha"])


def ELU(layer, weights, x, training=False):
    return each(lambda v: v if v > 0 else layer.alpha * math.expm1(v), x)


def Sigmoid(layer, weights, x, training=False):
    return each(stable_sigmoid, x)


def Tanh(layer, weights, x, training=False):
    return each(math.tanh, x)


def Softmax(layer, weights, x, training=False):
    e = np.exp(x - x.max(axis=layer.axis, keepdims=True))
    return e / e.sum(axis=layer.axis, keepdims=True)


def Swish(layer, weights, x, training=False):
    return each(lambda v: v * stable_sigmoid(v), x)


def HardSigmoid(layer, weights, x, training=False):
    return each(lambda v: min(max(layer.slope * v + 0.5, 0.0), 1.0), x)


def HardSwish(layer, weights, x, training=False):
    return each(lambda v: v * min(max(v + 3, 0.0), 6.0) / 6, x)


def GELU(layer, weights, x, training=False):
    if layer.approximate:
        return each(lambda v: 0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))), x)
    return each(lambda v: 0.5 * v * (1 + math.erf(v / math.sqrt(2))), x)


def SELU(layer, weights, x, training=False):
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    return each(lambda v: scale * (v if v > 0 else alpha * math.expm1(v)), x)


def Softsign(layer, weights, x, training=False):
    return each(lambda v: v / (1 + abs(v)), x)


def Exponential(layer, weights, x, training=False):
    return each(math.exp, x)


def Softplus(layer, weights, x, training=False):
    return each(stable_softplus, x)


def Mish(layer, weights, x, training=False):
    return each(lambda v: v * math.tanh(stable_softplus(v)), x)


def Activation(layer, weights, x, training=False):
    from numbacnn.layer import activation_layer

    inner = activation_layer(layer.activation)
    return globals()[type(inner).__name__](inner, {}, x)


def Dropout(layer, weights, x, training=False):
    """Philox in Python's integers. In training `weights` holds the random state: "clock" (seed, step) and "stream"."""
    if not training or layer.rate == 0:
        return x
    noise = getattr(layer, "noise_shape", None) or (None,) * x.ndim
    shape = tuple(s if n is None else n for n, s in zip(noise, x.shape, strict=True))
    (seed, step), stream = weights["clock"], weights["stream"]
    grouped = shape == x.shape  # then four neighbours share a counter, else each value has its own
    words = [philox_words(i // 4 if grouped else i, stream, step, seed)[i % 4 if grouped else 0] for i in range(math.prod(shape))]
    keep = np.array([w >= int(layer.rate * 2**32) for w in words]).reshape(shape)
    return x * keep / (1 - layer.rate)


def SpatialDropout2D(layer, weights, x, training=False):
    from numbacnn.layers.dropout import Dropout as Layer

    return Dropout(Layer(layer.rate, (None, 1, 1, None)), weights, x, training)


def GaussianNoise(layer, weights, x, training=False):
    return x + layer.stddev * normals(weights, x.shape) if training else x


def GaussianDropout(layer, weights, x, training=False):
    return x * (1 + math.sqrt(layer.rate / (1 - layer.rate)) * normals(weights, x.shape)) if training else x


def normals(weights, shape):
    """Normal numbers, one a counter, after Box and Muller: from two words that are uniform in 0..1."""
    (seed, step), stream = weights["clock"], weights["stream"]
    words = [philox_words(i, stream, step, seed) for i in range(math.prod(shape))]
    return np.array([math.sqrt(-2 * math.log((a + 0.5) / 2**32)) * math.cos(2 * math.pi * b / 2**32) for a, b, _, _ in words]).reshape(shape)


def philox_words(counter, stream, step, seed):
    """Philox 4x32-10 of Salmon et al., 2011."""
    a, b, c, d = counter % 2**32, counter >> 32, stream, step % 2**32
    k, m = seed % 2**32, seed >> 32
    for _ in range(10):
        p, q = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (q >> 32) ^ b ^ k, q % 2**32, (p >> 32) ^ d ^ m, p % 2**32
        k, m = (k + 0x9E3779B9) % 2**32, (m + 0xBB67AE85) % 2**32
    return a, b, c, d


def Dense(layer, weights, x, training=False):
    kernel = weights["kernel"]
    y = np.zeros((*x.shape[:-1], kernel.shape[1]), x.dtype)
    for i in range(kernel.shape[0]):
        for o in range(kernel.shape[1]):
            y[..., o] += x[..., i] * kernel[i, o]
    return y + weights.get("bias", 0)


def DepthwiseConv2D(layer, weights, x, training=False):
    n, h, w, channels = x.shape
    kernel = weights["kernel"]
    rows, columns, _, multiplier = kernel.shape
    sizes, lows = [], []
    for size, k, stride, dilation in zip((h, w), (rows, columns), layer.strides, layer.dilation_rate, strict=True):
        span = (k - 1) * dilation + 1
        out = math.ceil(size / stride) if layer.padding == "same" else (size - span) // stride + 1
        sizes.append(out)
        lows.append(max((out - 1) * stride + span - size, 0) // 2 if layer.padding == "same" else 0)
    y = np.zeros((n, *sizes, channels * multiplier), x.dtype)
    for r in range(sizes[0]):
        for c in range(sizes[1]):
            for i in range(rows):
                for j in range(columns):
                    a = r * layer.strides[0] + i * layer.dilation_rate[0] - lows[0]
                    b = c * layer.strides[1] + j * layer.dilation_rate[1] - lows[1]
                    if not (0 <= a < h and 0 <= b < w):
                        continue
                    for channel in range(channels):
                        for m in range(multiplier):
                            y[:, r, c, channel * multiplier + m] += x[:, a, b, channel] * kernel[i, j, channel, m]
    return y + weights.get("bias", 0)


def SeparableConv2D(layer, weights, x, training=False):
    middle = DepthwiseConv2D(layer, {"kernel": weights["depthwise_kernel"]}, x)
    mix = weights["pointwise_kernel"][0, 0]
    y = np.zeros((*middle.shape[:3], mix.shape[1]), x.dtype)
    for i in range(mix.shape[0]):
        for o in range(mix.shape[1]):
            y[..., o] += middle[..., i] * mix[i, o]
    return y + weights.get("bias", 0)
