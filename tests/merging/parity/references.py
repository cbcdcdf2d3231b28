"""The formulas of merge methods worked out plainly from their papers: slow, whole in memory, in float64, on purpose.

Every function takes all that it needs as arrays and returns the *merged task vector* (what is added to the base), or
the merged weights where a method has no base; its docstring names paper and repository, and says where the
repository, the paper and other implementations differ. `vectors` is always [N, …]: the task vectors of N experts in
one scope. A scope is a tensor, or the whole model: see `per_tensor` and `over_all`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


# --- Scopes -----------------------------------------------------------------------------------------------------------


def stacked(base: Mapping[str, Any], experts: list[Mapping[str, Any]]) -> dict[str, Array]:
    """Return the task vectors [N, *shape] by tensor; the difference is taken in the tensors' own precision."""
    return {
        name: np.stack([_numpy(expert[name]) - _numpy(values) for expert in experts]).astype(np.float64)
        for name, values in base.items()
    }


def per_tensor(
    method: Callable[..., Array], vectors: Mapping[str, Array], *rest: Any, **options: Any
) -> dict[str, Array]:
    """Return *method* of every tensor for itself."""
    return {name: method(values, *rest, **options) for name, values in vectors.items()}


def over_all(
    method: Callable[..., Array], vectors: Mapping[str, Array], *rest: Any, **options: Any
) -> dict[str, Array]:
    """Return *method* of all tensors as one long vector, laid out by sorted name as the official TIES code does."""
    names = sorted(vectors)
    count = len(next(iter(vectors.values())))
    merged = method(np.concatenate([vectors[name].reshape(count, -1) for name in names], axis=1), *rest, **options)
    ends = np.cumsum([vectors[name][0].size for name in names])
    parts = np.split(merged, ends[:-1])
    return {name: part.reshape(vectors[name].shape[1:]) for name, part in zip(names, parts, strict=True)}


# --- Linear -----------------------------------------------------------------------------------------------------------


def average(experts: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """Σ w_i θ_i / Σ w_i; the mean without weights.

    Wortsman et al., https://arxiv.org/abs/2203.05482. mergekit `linear` (normalize: true), MergeLM `average_merging`
    (never weighted).
    """
    values = _floats(experts)
    return _weighted_sum(values, _weights(weights, values)) / _weights(weights, values).sum()


def task_arithmetic(vectors: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """Σ w_i τ_i, w_i = 1 by default.

    Ilharco et al., https://arxiv.org/abs/2212.04089. mergekit `task_arithmetic` and peft `task_arithmetic` are this;
    MergeLM and auto-merge-llm take one λ for all: w_i = λ.
    """
    values = _floats(vectors)
    return _weighted_sum(values, _weights(weights, values))


# --- TIES -------------------------------------------------------------------------------------------------------------


def keep_largest(vectors: ArrayLike, count: int) -> NDArray[np.bool_]:
    """Return, by source, which entries are at least as large as the *count*-th largest magnitude: ties are all kept."""
    magnitudes = np.abs(_floats(vectors)).reshape(len(_floats(vectors)), -1)
    if count <= 0:
        return np.zeros(np.shape(vectors), dtype=bool)
    smallest_kept = np.sort(magnitudes, axis=1)[:, magnitudes.shape[1] - min(count, magnitudes.shape[1])]
    return (magnitudes >= smallest_kept[:, None]).reshape(np.shape(vectors))


def ties_official(vectors: ArrayLike, density: float = 0.2) -> Array:
    """Trim, elect by the sum, disjoint mean: unweighted, without λ. The official scope is the whole model.

    Yadav et al., https://arxiv.org/abs/2306.01708; prateeky2806/ties-merging, src/utils/merge_utils.py
    (`topk_values_mask`, `resolve_zero_signs`, `disjoint_merge`). Facts of that code that the paper does not tell:
    the threshold is the (n − int(density·n))-th *smallest* magnitude, kept inclusively, so int(density·n) + 1 entries
    stay (and all that tie with the threshold); a sum of exactly 0 takes the sign that most elected signs have, and
    where these balance too, the negative entries are merged.
    """
    values = _floats(vectors)
    size = values[0].size
    kept = values * keep_largest(values, min(size, int(density * size) + 1))
    signs = np.sign(kept.sum(axis=0))
    signs = np.where(signs == 0, np.sign(signs.sum()), signs)
    agreeing = np.where(signs > 0, kept > 0, kept < 0)
    return (kept * agreeing).sum(axis=0) / np.maximum(agreeing.sum(axis=0), 1)


def ties_mergekit(
    vectors: ArrayLike, weights: ArrayLike | None = None, density: float = 0.2, normalize: bool = True
) -> Array:
    """TIES as mergekit computes it, where all scopes are tensors.

    arcee-ai/mergekit 0.1.5, merge_methods/generalized_task_arithmetic.py and sparsify.py. Differs from the official
    code: exactly max(1, int(density·n)) entries are kept; the sign is elected on the *weighted* entries, a sum of 0
    elects +; agreeing entries are divided by the sum of their weights (normalize) or by nothing.
    """
    values = _floats(vectors)
    kept = values * keep_largest(values, _mergekit_count(values, density))
    return _elected(kept, _weights(weights, values), normalize)


def ties_peft(vectors: ArrayLike, weights: ArrayLike | None = None, density: float = 0.2) -> Array:
    """TIES as peft computes it, where all scopes are tensors (of LoRA's A and B, one by one).

    huggingface/peft 0.21, utils/merge_utils.py `ties`. Exactly int(density·n) entries are kept; the sign is elected on
    the *unweighted* entries, a sum of 0 elects +; the weighted agreeing entries are divided by their *number*, so
    weights that sum to 1 shrink the result N-fold.
    """
    values = _floats(vectors)
    kept = values * keep_largest(values, values[0].size if density >= 1 else int(density * values[0].size))
    return _counted(kept, _weights(weights, values))


# --- DARE -------------------------------------------------------------------------------------------------------------


def dare(vectors: ArrayLike, masks: ArrayLike, drop_rate: float) -> Array:
    """Return the task vectors [N, …] with what *masks* keeps (1 or 0) divided by 1 − drop_rate.

    Yu et al., https://arxiv.org/abs/2311.03099; yule-BUAA/MergeLM, model_merging_methods/mask_weights_utils.py; peft
    `random_pruning` is the same with density = 1 − drop_rate.
    """
    return _floats(vectors) * _floats(masks) / (1 - drop_rate)


def dare_mergekit(vectors: ArrayLike, masks: ArrayLike) -> Array:
    """Return the task vectors with what *masks* keeps scaled to the L1 norm that the tensor had before.

    mergekit 0.1.5, sparsify.py `rescaled_masked_tensor`: not 1/(1 − p), so the expected value is not kept exactly,
    and no scaling at all below a norm of 1e-7. Merge with `task_arithmetic` (dare_linear) or `dare_ties_mergekit`.
    """
    values, kept = _floats(vectors), _floats(vectors) * _floats(masks)
    before, after = _norms(values, 1), _norms(kept, 1)
    scaled = (before >= 1e-7) & (after >= 1e-7)
    return kept * _spread(np.where(scaled, before / np.where(scaled, after, 1), 1), kept)


def dare_ties_mergekit(vectors: ArrayLike, masks: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """mergekit's `dare_ties`: no second trim, sign elected on weighted entries, weighted *sum* of those agreeing."""
    values = dare_mergekit(vectors, masks)
    return _elected(values, _weights(weights, values), normalize=False)


def dare_ties_peft(
    vectors: ArrayLike, masks: ArrayLike, weights: ArrayLike | None = None, density: float = 0.1
) -> Array:
    """peft's `dare_ties`: divided by density, sign elected on unweighted entries, divided by the number agreeing."""
    values = dare(vectors, masks, 1 - density)
    return _counted(values, _weights(weights, values))


# --- On the sphere ----------------------------------------------------------------------------------------------------


def slerp(first: ArrayLike, second: ArrayLike, t: float, linear_above: float = 0.9995) -> Array:
    """Return first at t = 0, second at t = 1, between them on the arc; linear where |cos| > *linear_above*.

    Shoemake, https://doi.org/10.1145/325334.325242. The angle is that of the flattened *weights*, the lengths are
    kept. mergekit `slerp` has this threshold; fine-tuned weights of one base are nearly always closer than that, so
    there SLERP is linear interpolation. mergekit `nuslerp` has none (linear only if 1 − cos² ≤ 1e-16).
    """
    a, b = _floats(first), _floats(second)
    cosine = np.clip((a * b).sum() / _safe(np.linalg.norm(a) * np.linalg.norm(b)), -1, 1)
    if abs(cosine) > linear_above:
        return (1 - t) * a + t * b
    angle = np.arccos(cosine)
    return (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)


def nuslerp(vectors: ArrayLike, weights: ArrayLike) -> Array:
    """mergekit's `nuslerp` of two task vectors: t = w_2 / (w_1 + w_2), no threshold; t = .5 for weights that cancel."""
    first, second = _floats(vectors)
    share = _floats(weights)
    t = 0.5 if abs(share.sum()) < 1e-6 else float(share[1] / share.sum())
    return slerp(first, second, t, linear_above=np.sqrt(1 - 1e-16))


def multislerp(vectors: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """Return the direction of the weighted mean of unit vectors, at the weighted mean length.

    mergekit `multislerp` (https://goddard.blog/posts/multislerp-wow-what-a-cool-idea) projects to the tangent space at
    that same mean direction, where the weighted sum is 0 by construction: its exponential map changes nothing but
    rounding, which is why this shorter formula equals it.
    """
    values = _floats(vectors)
    share = _weights(weights, values) / _weights(weights, values).sum()
    norms = _norms(values, 2)
    mean = _weighted_sum(values / _spread(_safe(norms), values), share)
    return mean / np.linalg.norm(mean) * (share * norms).sum()


def karcher(
    experts: ArrayLike, weights: ArrayLike | None = None, iterations: int = 1000, tolerance: float = 1e-12
) -> Array:
    """Return the Karcher mean of the directions, at the weighted mean length; vectors of length 0 have no direction.

    Karcher, https://doi.org/10.1002/cpa.3160300502: m ← exp_m(Σ w_i log_m(u_i)) until the step is below *tolerance*.
    mergekit `karcher` does it on the weights themselves (not task vectors), with equal w_i only, 10 iterations and
    1e-5, in float32: where experts lie near each other, as fine-tuned ones do, the arccosine of numbers near 1 costs it
    some percent of the task vector, more than the Karcher mean differs from the average there.
    """
    values = _floats(experts).reshape(len(_floats(experts)), -1)
    norms = _norms(values, 2)
    share = _weights(weights, values) / _weights(weights, values).sum()
    directed = norms > tolerance
    units, part = values[directed] / norms[directed, None], share[directed] / share[directed].sum()
    mean = part @ units
    mean = mean / np.linalg.norm(mean)
    for _ in range(iterations):
        angles = np.arccos(np.clip(units @ mean, -1, 1))
        scale = np.where(angles < tolerance, 0, angles / np.where(angles < tolerance, 1, np.sin(angles)))
        step = (part * scale) @ (units - (units @ mean)[:, None] * mean)
        length = np.linalg.norm(step)
        if length < tolerance:
            break
        mean = np.cos(length) * mean + np.sin(length) * step / length
        mean = mean / np.linalg.norm(mean)
    return ((share * norms).sum() * mean).reshape(np.shape(experts)[1:])


def model_stock(vectors: ArrayLike, least_product: float = 0) -> Array:
    """Return t · mean τ with t = N cos / (1 + (N − 1) cos), cos the mean cosine of all pairs of task vectors.

    Jang, Yun and Han, https://arxiv.org/abs/2403.19522, Eq. 6; scope: a tensor. Norms are exact here; mergekit divides
    by max(|τ_i||τ_j|, 1e-6) (*least_product*), which pulls tensors with small task vectors towards the base, and takes
    t = 0 where the denominator is below 1e-6.
    """
    values = _floats(vectors)
    flat = values.reshape(len(values), -1)
    norms = np.linalg.norm(flat, axis=1)
    products = np.maximum(np.outer(norms, norms), least_product)
    upper = np.triu_indices(len(values), 1)
    cosine = np.mean(np.clip((flat @ flat.T)[upper] / _safe(products[upper]), -1, 1))
    bottom = 1 + (len(values) - 1) * cosine
    share = 0 if abs(bottom) < 1e-6 else len(values) * cosine / bottom
    return share * values.mean(axis=0)


# --- Masks of magnitude -----------------------------------------------------------------------------------------------


def breadcrumbs_official(
    vectors: ArrayLike, weights: ArrayLike | None = None, density: float = 0.9, gamma: float = 0.01
) -> Array:
    """Σ w_i m_i τ_i: in every row of the last dimension, drop the int(γ·c) largest of c, keep the next int(density·c).

    Davari and Belilovsky, https://arxiv.org/abs/2312.06795; rezazzr/breadcrumbs, src/task_vectors.py
    (`TaskVectorMiddleKeep`, remove_first): a 1-D tensor is one row, a scalar is left as it is. Nothing is rescaled.
    """
    values = _floats(vectors)
    if values.ndim == 1:
        return task_arithmetic(values, weights)
    columns = values.shape[-1]
    ranks = np.argsort(np.argsort(-np.abs(values), axis=-1, kind="stable"), axis=-1, kind="stable")
    first = int(columns * gamma)
    kept = (ranks >= first) & (ranks < first + int(columns * density))
    return task_arithmetic(values * kept, weights)


def breadcrumbs_mergekit(
    vectors: ArrayLike, weights: ArrayLike | None = None, density: float = 0.9, gamma: float = 0.01
) -> Array:
    """mergekit's `breadcrumbs`: the same by tensor, counted from below.

    mergekit 0.1.5, sparsify.py `magnitude_outliers`: of n entries sorted upwards the first max(0, n − int(density·n) −
    int(γ·n)) are dropped and int(density·n) kept; so where density + γ > 1 fewer outliers than γ go.
    """
    values = _floats(vectors)
    flat = values.reshape(len(values), -1)
    size = flat.shape[1]
    count = int(density * size)
    low = 0 if density >= 1 else max(0, size - count - int(gamma * size))
    ranks = np.argsort(np.argsort(np.abs(flat), axis=1, kind="stable"), axis=1, kind="stable")
    kept = (ranks >= low) & (ranks < low + (size if density >= 1 else count))
    return task_arithmetic((flat * kept).reshape(values.shape), weights)


def della_probabilities(vectors: ArrayLike, density: float, epsilon: float) -> Array:
    """Return the probability of every entry to stay: density − ε for the smallest of its row to density + ε.

    Deep, Bhardwaj and Poria, https://arxiv.org/abs/2406.11617, MagPrune; linear in the rank by magnitude within the row
    of a 2-D tensor, a 1-D tensor is one row. declare-lab/della gives ε as window_size / 2. A row of one entry has no
    rank; here it gets density (0/0 in the official code and in mergekit).
    """
    values = _floats(vectors)
    columns = values.shape[-1]
    ranks = np.argsort(np.argsort(np.abs(values), axis=-1, kind="stable"), axis=-1, kind="stable")
    if columns == 1:
        return np.full(values.shape, density)
    return density - epsilon + 2 * epsilon * ranks / (columns - 1)


def della_official(
    vectors: ArrayLike,
    lots: ArrayLike,
    weights: ArrayLike | None = None,
    density: float = 0.5,
    epsilon: float = 0.05,
    normalize: bool = True,
) -> Array:
    """Keep an entry where its lot in [0, 1) is below its probability, divide it by that, elect signs, mean of agreeing.

    declare-lab/della, mergekit/mergekit/sparsify.py `rank_magnitude` and merge_methods/generalized_task_arithmetic.py;
    without λ. The sign is elected on weighted entries, 0 elects +.
    """
    values = _floats(vectors)
    chance = della_probabilities(values, density, epsilon)
    kept = values * (_floats(lots) < chance) / chance
    return _elected(kept, _weights(weights, values), normalize)


def della_mergekit(vectors: ArrayLike, masks: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """mergekit's `della` with drawn *masks*: scaled to the L1 norm instead of by 1/p; otherwise as the official."""
    values = dare_mergekit(vectors, masks)
    return _elected(values, _weights(weights, values), normalize=True)


# --- With data --------------------------------------------------------------------------------------------------------


def fisher(
    experts: ArrayLike,
    fishers: ArrayLike,
    weights: ArrayLike | None = None,
    least: float = 1e-6,
    norms: ArrayLike | None = None,
) -> Array:
    """Σ c_i (F_i + least) θ_i / Σ c_i (F_i + least); with *norms*, c_i = w_i / (norm_i + least), else w_i.

    Matena and Raffel, https://arxiv.org/abs/2111.09832, Eq. 4; yule-BUAA/MergeLM, merging_methods.py `fisher_merging`
    (its norm is the L2 norm of F_i over the *whole model*, its default; F_i are squared gradients of batch *sums*,
    where the paper takes the expectation of squared gradients of single examples).
    """
    values, information = _floats(experts), _floats(fishers) + least
    share = _weights(weights, values) / (1 if norms is None else _floats(norms) + least)
    return _weighted_sum(information * values, share) / _weighted_sum(information, share)


def regmean(
    weights_of_linear: ArrayLike, grams: ArrayLike, alpha: float = 0.9, shares: ArrayLike | None = None
) -> Array:
    """W = (Σ s_i G'_i)⁻¹ Σ s_i G'_i W_i, for layers stored [out, in] as in PyTorch; G' = G, off-diagonals times alpha.

    Jin et al., https://arxiv.org/abs/2212.09849, Eq. 2 and section 3.3; G_i = X_iᵀ X_i, [in, in]. bloomberg/dataless-
    model-merging sums over tokens, MergeLM divides by their number: the same only if all sources saw equally many.
    Tensors that are no weight of a linear layer are averaged.
    """
    layers, products = _floats(weights_of_linear), _floats(grams)
    inner = products.shape[-1]
    products = products * (alpha + (1 - alpha) * np.eye(inner))
    products = products * _spread(_weights(shares, products), products)
    right = sum(product @ layer.T for product, layer in zip(products, layers, strict=True))
    return np.linalg.solve(products.sum(axis=0), right).T


# --- Masks of agreement -----------------------------------------------------------------------------------------------


def tall_masks(vectors: ArrayLike, threshold: float = 0.4) -> NDArray[np.bool_]:
    """Return, by source, where |τ_i| > threshold · |Σ τ − τ_i|.

    Wang et al., https://arxiv.org/abs/2405.07813, Eq. 4; nik-dim/tall_masks, src/utils/tallmask_utils.py, which tries
    .2 to .6 and takes the best on validation data for every source.
    """
    values = _floats(vectors)
    return np.abs(values) > threshold * np.abs(values.sum(axis=0) - values)


def consensus_task_arithmetic(
    vectors: ArrayLike, threshold: float = 0.4, least: int = 2, weights: ArrayLike | None = None
) -> Array:
    """Σ w_i τ_i where at least *least* TALL masks agree, else 0; the masks are those of the unweighted sum."""
    agreed = tall_masks(vectors, threshold).sum(axis=0) >= least
    return task_arithmetic(vectors, weights) * agreed


def pcb(vectors: ArrayLike, ratio: float = 0.1) -> Array:
    """Σ β_i τ_i / Σ β_i with the parameter competition of Du et al. The official scope is the whole model.

    https://arxiv.org/abs/2410.02396; duguodong7/pcb-merging, pcb-merging.py: |τ| is first clamped, by source, to its
    .01 % and 99.99 % order statistics and min-max scaled; intra = exp(N · scaled²), inter = tanh(τ Στ) of the
    *unclamped* τ; β = intra · inter clamped from below at its (1 − ratio) order statistic and min-max scaled again,
    so that what is dropped has β = 0 and the last one kept nearly 0. The paper masks β and does not scale it again.
    """
    values = _floats(vectors)
    flat = values.reshape(len(values), -1)
    magnitude = _clamped(np.abs(flat), 0.0001, 0.0001)
    score = np.exp(len(flat) * _scaled(magnitude) ** 2) * np.tanh(flat * flat.sum(axis=0))
    balance = _scaled(_clamped(score, 1 - ratio, 0))
    merged = (np.sign(flat) * magnitude * balance).sum(axis=0) / np.maximum(balance.sum(axis=0), 1e-12)
    return merged.reshape(values.shape[1:])


def emr(vectors: ArrayLike) -> tuple[Array, NDArray[np.bool_], Array]:
    """Return the unified task vector, the masks [N, …] and the rescalers [N] of one scope.

    Huang et al., https://arxiv.org/abs/2405.17461: unified = elected sign · largest magnitude among those agreeing;
    mask_i = τ_i · unified > 0; rescaler_i = Σ|τ_i| / Σ|mask_i · unified|. harveyhuang18/EMR_Merging takes − where the
    sum is 0 (no entry then agrees unless it is negative), and sums *means over tensors* in the rescaler, so that a
    bias weighs as much as the embeddings: see `emr_official_rescalers`.
    """
    values = _floats(vectors)
    signs = np.where(values.sum(axis=0) > 0, 1.0, -1.0)
    masks = values * signs > 0
    unified = signs * np.abs(values * masks).max(axis=0)
    return unified, masks, _norms(values, 1) / _safe(_norms(masks * unified, 1))


def emr_official_rescalers(vectors: Mapping[str, Array]) -> Array:
    """Return Σ_tensors mean|τ_i| / Σ_tensors mean|mask_i · unified| by source."""
    whole = np.zeros(len(next(iter(vectors.values()))))
    shown = np.zeros_like(whole)
    for values in vectors.values():
        unified, masks, _ = emr(values)
        whole += _norms(values, 1) / values[0].size
        shown += _norms(masks * unified, 1) / values[0].size
    return whole / shown


def sce(vectors: ArrayLike, density: float = 1.0, least_energy: float = 0) -> Array:
    """Select the entries of largest variance, weigh experts by their energy there, erase minority signs, mean.

    Wan et al., https://arxiv.org/abs/2408.07990 (FuseChat 3.2): k = int(density · number of entries with variance > 0);
    w_i = Σ τ̂_i² / Σ_j Σ τ̂_j²; sign of Σ τ̂ (0 elects +); Σ w_i τ̂_i / Σ w_i over those agreeing. mergekit 0.1.5 is this,
    but takes equal weights where the mean energies sum to less than 1e-6 (*least_energy*), as task vectors of ordinary
    fine-tuning do (entries of 5e-4 and less), and divides by no less than 1e-6.
    """
    values = _floats(vectors)
    kept = values * _most_varying(values, density)
    energy = (kept.reshape(len(kept), -1) ** 2).mean(axis=1)
    equal = energy.sum() <= least_energy
    share = np.full(len(kept), 1 / len(kept)) if equal else energy / energy.sum()
    return _elected(kept, share, normalize=True, elect_on=kept)


def sce_fuseai(vectors: ArrayLike, density: float = 1.0) -> Array:
    """SCE as 18907305772/FuseAI has it (FuseChat/mergekit/mergekit/merge_methods/sce_merging.py).

    The selection is used for the weights alone: the entries outside it are merged like the others, which the paper's
    third step does not do.
    """
    values = _floats(vectors)
    energy = ((values * _most_varying(values, density)).reshape(len(values), -1) ** 2).mean(axis=1)
    share = np.full(len(values), 1 / len(values)) if energy.sum() == 0 else energy / energy.sum()
    return _elected(values, share, normalize=True, elect_on=values)


# --- Singular values --------------------------------------------------------------------------------------------------


def iso_c(vectors: ArrayLike) -> Array:
    """Return mean(S) · U Vᵀ of Σ τ = U S Vᵀ for a matrix; the mean of anything else.

    Marczak et al., https://arxiv.org/abs/2502.04959, Iso-C; tanganke/fusion_bench, isotropic_merging/iso_utils.py
    (`text_projection` of CLIP is averaged there).
    """
    values = _floats(vectors)
    if values.ndim != 3:
        return values.mean(axis=0)
    left, singular, right = np.linalg.svd(values.sum(axis=0), full_matrices=False)
    return singular.mean() * left @ right


def tsv_m(vectors: ArrayLike) -> Array:
    """Return U⊥ diag(S) V⊥ᵀ of a matrix; the mean of anything else.

    U and V hold the first r = int(min(m, n) / N) singular vectors of every τ_i side by side, each made orthogonal.
    Gargiulo et al., https://arxiv.org/abs/2412.00081; AntoAndGar/task_singular_vectors, src/utils/TSVM_utils.py. The
    nearest orthogonal matrix (polar factor) is not unique where the vectors are linearly dependent, as with two equal
    experts: results of different libraries then differ; here directions of singular value 0 are left out. A matrix
    with r = 0 gives 0, as the official code does.
    """
    values = _floats(vectors)
    if values.ndim != 3:
        return values.mean(axis=0)
    rank = int(min(values.shape[1:]) * (1 / len(values)))
    if rank == 0:
        return np.zeros(values.shape[1:])
    parts = [np.linalg.svd(matrix, full_matrices=False) for matrix in values]
    left = np.concatenate([part[0][:, :rank] for part in parts], axis=1)
    singular = np.concatenate([part[1][:rank] for part in parts])
    right = np.concatenate([part[2][:rank] for part in parts], axis=0)
    return _polar(left) @ np.diag(singular) @ _polar(right)


# --- By layer ---------------------------------------------------------------------------------------------------------


def lines(merged: Mapping[str, ArrayLike], alpha: float, beta: float, blocks: int) -> dict[str, Array]:
    """Multiply the merged task vector of block l = 0 … L−1 by α + β l / (L − 1), all outside the blocks by α.

    Wang et al., https://arxiv.org/abs/2410.17146; wang-kee/LiNeS, LiNeS_example.ipynb `line_scaling`. Outside the
    blocks lie the embeddings, but also a classifier after the last block, which so gets the *smallest* factor: the
    official models have none in the task vector. Blocks are named `.layer.<l>.` here.
    """
    found = {name: re.search(r"\.layer\.(\d+)\.", name) for name in merged}
    depth = {name: int(match[1]) / (blocks - 1) if match else 0.0 for name, match in found.items()}
    return {name: _floats(values) * (alpha + beta * depth[name]) for name, values in merged.items()}


# --- Steps ------------------------------------------------------------------------------------------------------------


def _elected(vectors: Array, weights: Array, normalize: bool, elect_on: Array | None = None) -> Array:
    """Merge what agrees with the sign of the (weighted) sum; 0 elects +. Divide by the weights that agree, or not."""
    share = _spread(weights, vectors)
    total = (vectors * share if elect_on is None else elect_on).sum(axis=0)
    agreeing = np.sign(vectors * share if elect_on is None else vectors) == np.where(total >= 0, 1, -1)
    merged = (vectors * share * agreeing).sum(axis=0)
    divisor = (share * agreeing).sum(axis=0)
    return merged / np.where(divisor == 0, 1, divisor) if normalize else merged


def _counted(vectors: Array, weights: Array) -> Array:
    """peft: merge what agrees with the sign of the unweighted sum, divide by how many agree."""
    agreeing = np.sign(vectors) == np.where(vectors.sum(axis=0) >= 0, 1, -1)
    return (vectors * _spread(weights, vectors) * agreeing).sum(axis=0) / np.maximum(agreeing.sum(axis=0), 1)


def _most_varying(vectors: Array, density: float) -> Array:
    if density >= 1:
        return np.ones(vectors.shape[1:])
    variance = vectors.var(axis=0)
    count = int(np.count_nonzero(variance) * density)
    mask = np.zeros(variance.size)
    mask[np.argsort(-variance.ravel(), kind="stable")[:count]] = 1
    return mask.reshape(variance.shape)


def _mergekit_count(vectors: Array, density: float) -> int:
    size = vectors[0].size
    return size if density >= 1 else max(1, int(density * size)) if density > 0 else 0


def _clamped(values: Array, low: float, high: float) -> Array:
    """Clamp every row to its order statistics int(low · d) and int((1 − high) · d − 1), counted from 0."""
    ordered, size = np.sort(values, axis=1), values.shape[1]
    return np.clip(values, ordered[:, [int(size * low)]], ordered[:, [int(size * (1 - high) - 1)]])


def _scaled(values: Array) -> Array:
    """Scale every row to [0, 1]; a row of equal values to 0 (0/0 in the official code)."""
    low, high = values.min(axis=1, keepdims=True), values.max(axis=1, keepdims=True)
    return (values - low) / _safe(high - low)


def _polar(matrix: Array) -> Array:
    left, singular, right = np.linalg.svd(matrix, full_matrices=False)
    there = singular > singular.max(initial=0) * max(matrix.shape) * np.finfo(np.float64).eps
    return left[:, there] @ right[there]


def _weighted_sum(values: Array, weights: Array) -> Array:
    return (values * _spread(weights, values)).sum(axis=0)


def _weights(weights: ArrayLike | None, values: Array) -> Array:
    return np.ones(len(values)) if weights is None else _floats(weights)


def _norms(values: Array, order: int) -> Array:
    return np.linalg.norm(values.reshape(len(values), -1), ord=order, axis=1)


def _spread(weights: Array, values: Array) -> Array:
    """Return [N] as [N, 1, 1, …]."""
    return weights.reshape(-1, *[1] * (values.ndim - 1))


def _safe(values: Any) -> Any:
    """Return values to divide by: 1 for 0."""
    return np.where(values == 0, 1, values)


def _floats(values: Any) -> Array:
    return np.asarray(_numpy(values), dtype=np.float64)


def _numpy(values: Any) -> NDArray[Any]:
    """Return an array of a torch tensor, bfloat16 as float32, which holds its values exactly."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        return np.asarray(values.float() if values.dtype.itemsize == 2 else values)
    return np.asarray(values)
