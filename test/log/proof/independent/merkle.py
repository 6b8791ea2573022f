"""The Merkle tree of RFC 6962, 2.1, by its recursive definitions."""

import hashlib


def sha256(octets):
    return hashlib.sha256(octets).digest()


def leaf_hash(octets):
    return sha256(b"\x00" + octets)


def node_hash(left, right):
    return sha256(b"\x01" + left + right)


def split(n):
    """The largest power of two smaller than n."""
    return 1 << ((n - 1).bit_length() - 1)


def root(hashes):
    """MTH over the hashes of leaves."""
    n = len(hashes)
    if n == 0:
        return sha256(b"")
    if n == 1:
        return hashes[0]
    k = split(n)
    return node_hash(root(hashes[:k]), root(hashes[k:]))


def root_by_path(m, n, leaf, path):
    """The root that PATH(m, D[n]) (2.1.1) leads to from the leaf's hash; None where the path is not one for m and n."""
    if n == 1:
        return leaf if m == 0 and not path else None
    if not path or not 0 <= m < n:
        return None
    k = split(n)
    if m < k:
        left, right = root_by_path(m, k, leaf, path[:-1]), path[-1]
    else:
        left, right = path[-1], root_by_path(m - k, n - k, leaf, path[:-1])
    return None if left is None or right is None else node_hash(left, right)


def roots_by_proof(m, n, first_root, proof):
    """Both roots that PROOF(m, D[n]) (2.1.2) leads to, or None. 0 < m < n."""

    def sub(m, n, whole, rest):
        # SUBPROOF(m, D[n], b): `whole` says that the m leaves are the whole first tree.
        if m == n:
            if whole:
                return (first_root, first_root) if not rest else None
            return (rest[0], rest[0]) if len(rest) == 1 else None
        if not rest:
            return None
        k = split(n)
        if m <= k:
            below = sub(m, k, whole, rest[:-1])
            return below and (below[0], node_hash(below[1], rest[-1]))
        below = sub(m - k, n - k, False, rest[:-1])
        return below and (node_hash(rest[-1], below[0]), node_hash(rest[-1], below[1]))

    return sub(m, n, True, proof)


def is_inclusion(leaf, m, n, path, expected):
    return 0 <= m < n and root_by_path(m, n, leaf, path) == expected


def is_consistency(m, n, first_root, second_root, proof):
    if not 0 <= m <= n:
        return False
    if m == n:
        return not proof and first_root == second_root
    if m == 0:
        return not proof and first_root == root([])
    return roots_by_proof(m, n, first_root, proof) == (first_root, second_root)
