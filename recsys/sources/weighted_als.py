"""Implicit-feedback ALS with exact solves, in which the L2 penalty grows with the plays.

Hu, Koren and Volinsky ("Collaborative filtering for implicit feedback datasets", ICDM 2008) fit a
play of weight w with confidence ``1 + alpha · w`` and everything else with confidence 1. Each
alternation solves one system for every user, and one for every item:

    (VᵀV + alpha Σ w v vᵀ + penalty · I) x = Σ (1 + alpha · w) v

with the sums over what the user has played. With one penalty for everybody, as in the library
implicit, vectors of those who have played much are hardly regularised. Here it grows with the total
weight of the plays (Rendle et al., "Revisiting the performance of iALS", RecSys 2022):

    penalty = regularization · (1 - share + share · total / mean total)

A system of c plays in d dimensions is solved in c dimensions where c < d (Woodbury identity), in
the basis of the eigenvectors of VᵀV: most items have a handful of users. So there is no reason to
approximate by conjugate gradients.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from datasets.arrays import Float32Array, Float64Array, IntArray
from datasets.linear_algebra import single_precision, solve_symmetric, symmetric_eigen
from recsys.data import CSRArrays, Vectors

_CELLS = 4_000_000
"""Numbers of gathered vectors held at once, for each thread."""

_FEW = 4
"""Rows up to which each is solved by itself, such as the items of a play that has come."""

_LEAST_WEIGHT = 1e-6
"""A play of less weight counts as this, so that no system is divided by zero."""


def penalties(
    totals: Float64Array, mean: float, regularization: float, share: float
) -> Float64Array:
    """Return the L2 penalty of each user or item.

    Args:
        totals: total weight of the plays of each, float64 [n].
        mean: mean of these totals where they were learned.
        regularization: penalty of one whose total is the mean.
        share: share of the penalty that grows with the total, 0 to 1.

    Examples:
        >>> penalties(np.array([0.0, 2.0, 8.0]), 2.0, 10.0, 0.5).tolist()
        [5.0, 10.0, 25.0]
    """
    return regularization * (1 - share + share * totals / max(mean, np.finfo(np.float64).tiny))


def mean_total(plays: sp.csr_matrix) -> float:
    """Return the mean total weight of the rows that have plays; 0 if none has."""
    return float(plays.sum(dtype=np.float64)) / max(int((np.diff(plays.indptr) > 0).sum()), 1)


def train(
    plays: sp.csr_matrix,
    *,
    factors: int,
    alpha: float,
    regularization: float,
    share: float,
    iterations: int,
    seed: int,
    threads: int = 1,
    start: Vectors | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Vectors:
    """Learn vectors of users and items by alternating least squares.

    Args:
        plays: weights of plays, CSR float32 [n_users, n_items], positive.
        factors: length d of the vectors.
        alpha: confidence of one unit of weight.
        regularization: L2 penalty of a user or an item with a mean total of weights.
        share: share of the penalty that grows with the total.
        iterations: number of alternations.
        seed: seed of the first vectors.
        threads: threads that solve side by side; results do not depend on them.
        start: vectors to go on from; None starts from random ones.
        advance: called with 1 after each alternation.

    Returns:
        Vectors; those of users and items without plays are zero.

    Examples:
        >>> likes = sp.csr_matrix(np.kron(np.eye(2), np.ones((3, 3))).astype(np.float32))
        >>> found = train(likes, factors=2, alpha=10.0, regularization=1.0, share=0.2,
        ...               iterations=10, seed=0)
        >>> np.round(found.users[0] @ found.items.T + 0.0, 1).tolist()
        [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    """
    random = np.random.default_rng(seed)
    matrices = plays, plays.T.tocsr()
    sides = [CSRArrays.from_matrix(matrix) for matrix in matrices]
    charges = []
    for matrix in matrices:
        totals = np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel()
        charges.append(penalties(totals, mean_total(matrix), regularization, share))
    if start is None:
        items = random.standard_normal((plays.shape[1], factors), np.float32)
        items *= np.float32(0.1 / np.sqrt(factors))
        users = np.zeros((plays.shape[0], factors), np.float32)
    else:
        users, items = start.users, start.items
    for _ in range(iterations):
        users = solve_rows(items, _gram(items), sides[0], alpha, charges[0], threads=threads)
        items = solve_rows(users, _gram(users), sides[1], alpha, charges[1], threads=threads)
        advance(1)
    return Vectors(users, items)


def solve_rows(
    vectors: Float32Array,
    gram: Float64Array,
    plays: CSRArrays,
    alpha: float,
    charges: Float64Array,
    *,
    threads: int = 1,
) -> Float32Array:
    """Solve for the vectors of all rows, the other side's being fixed.

    Args:
        vectors: the other side's vectors V, float32 [n, d].
        gram: VᵀV, float64 [d, d].
        plays: weights, CSR [n_rows, n].
        alpha: confidence of one unit of weight.
        charges: L2 penalty of each row, float64 [n_rows].
        threads: threads that solve side by side.

    Returns:
        float32 [n_rows, d]; zeros for rows without plays.

    Examples:
        >>> V = np.float32([[1, 0], [0, 1]])
        >>> plays = CSRArrays(np.float32([1]), np.array([0]), np.array([0, 1]))
        >>> solve_rows(V, np.eye(2), plays, 2.0, np.array([1.0])).round(2).tolist()
        [[0.75, 0.0]]
    """
    if len(charges) <= _FEW and charges.min(initial=np.inf) > 1e-6 * np.trace(gram) / len(gram):
        return _solve_few(vectors, gram, plays, alpha, charges)
    energies, basis = symmetric_eigen(gram)
    # No penalty, and directions in which the other side has nothing: they stay zero.
    largest = float(np.max(energies, initial=0.0))
    floor = 1e-9 * max(largest, float(np.finfo(np.float32).tiny))
    turn = basis.astype(np.float32)
    rotated = vectors @ turn
    solved = np.zeros((len(plays.indptr) - 1, len(gram)), np.float32)

    def solve(part: tuple[IntArray, int]) -> None:
        rows, size = part
        damping = 1 / np.maximum(np.maximum(energies, 0) + charges[rows][:, None], floor)
        found = _solve_block(rotated, plays, rows, size, alpha, damping.astype(np.float32))
        solved[rows] = found @ turn.T

    parts = _blocks(np.diff(plays.indptr), len(gram))
    if threads == 1:
        for part in parts:
            solve(part)
    else:
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(solve, list(parts)):
                pass
    return solved


def solve_penalised(
    matrix: Float64Array, X: Float64Array, confidence: Float64Array, charge: float
) -> Float32Array:
    """Solve ``(G + XᵀCX + charge · I) x = Xᵀ(1 + C)`` in all dimensions.

    Args:
        matrix: G, float64 [d, d].
        X: vectors of what was played, or of who played, float64 [h, d].
        confidence: C, the confidence in each play, float64 [h].
        charge: L2 penalty.

    Returns:
        float32 [d].

    Examples:
        >>> solve_penalised(np.eye(1), np.ones((1, 1)), np.array([2.0]), 1.0).tolist()
        [0.75]
    """
    left = matrix + (X.T * confidence) @ X
    left.flat[:: len(left) + 1] += charge or 1e-9 * max(float(np.trace(left)), 1e-30)
    return single_precision(solve_symmetric(left, X.T @ (1 + confidence)))


def _solve_few(
    vectors: Float32Array,
    gram: Float64Array,
    plays: CSRArrays,
    alpha: float,
    charges: Float64Array,
) -> Float32Array:
    """Solve rows as `solve_rows` does, without an eigenbasis, which takes longer than they do."""
    solved = np.zeros((len(charges), len(gram)), np.float32)
    for row, charge in enumerate(charges.tolist()):
        own = slice(*plays.indptr[row : row + 2])
        played = vectors[plays.indices[own]].astype(np.float64)
        if len(played):
            weights = np.maximum(plays.data[own], _LEAST_WEIGHT).astype(np.float64)
            solved[row] = solve_penalised(gram, played, alpha * weights, charge)
    return solved


def _solve_block(
    rotated: Float32Array,
    plays: CSRArrays,
    rows: IntArray,
    size: int,
    alpha: float,
    damping: Float32Array,
) -> Float32Array:
    """Solve rows with at most `size` plays each, in the eigenbasis.

    Args:
        rotated: the other side's vectors in that basis, float32 [n, d].
        plays: weights of plays, CSR [n_rows, n].
        rows: the rows, int [b].
        size: plays to make room for.
        alpha: confidence of one unit of weight.
        damping: 1 / (eigenvalue + penalty), float32 [b, d].

    Returns:
        float32 [b, d].
    """
    starts, stops = plays.indptr[rows], plays.indptr[rows + 1]
    places = starts[:, None] + np.arange(size)
    exists = places < stops[:, None]
    places = np.minimum(places, len(plays.data) - 1)
    confidence = alpha * np.maximum(plays.data[places], _LEAST_WEIGHT)
    root = np.where(exists, np.sqrt(confidence), 0).astype(np.float32)
    target = np.divide(1 + confidence, root, out=np.zeros_like(root), where=exists)
    # H holds √(alpha w) v, so the system is HᵀH + 1/damping, and its right-hand side Hᵀ target.
    H = rotated[plays.indices[places]] * root[..., None]
    d = rotated.shape[1]
    if size < d:
        within = (H * damping[:, None]) @ H.transpose(0, 2, 1)
        within[:, np.arange(size), np.arange(size)] += 1
        dual = np.linalg.solve(within, target[..., None])[..., 0]
        return np.asarray((dual[:, None] @ H)[:, 0] * damping)
    full = (H.transpose(0, 2, 1) @ H).astype(np.float64)
    full[:, np.arange(d), np.arange(d)] += 1 / damping
    wanted = (target[:, None] @ H).transpose(0, 2, 1)
    return np.asarray(np.linalg.solve(full, wanted)[..., 0], np.float32)


def _blocks(counts: IntArray, d: int) -> Iterator[tuple[IntArray, int]]:
    """Yield rows with about as many plays each, and room for the most of them."""
    order = np.argsort(counts, kind="stable")
    order = order[np.searchsorted(counts[order], 1) :]
    while len(order):
        least = int(counts[order[0]])
        size = least + (0 if least < 6 else least // 8)  # up to an eighth is room that is not used
        n = min(int(np.searchsorted(counts[order], size, "right")), max(1, _CELLS // (size * d)))
        yield order[:n], int(counts[order[n - 1]])
        order = order[n:]


def _gram(vectors: Float32Array) -> Float64Array:
    """Return VᵀV in double precision, in blocks of rows."""
    d = vectors.shape[1]
    total = np.zeros((d, d))
    for start in range(0, len(vectors), 65_536):
        block = vectors[start : start + 65_536].astype(np.float64)
        total += block.T @ block
    return total
