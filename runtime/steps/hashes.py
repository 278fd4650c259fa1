"""The hash functions behind Keras's Hashing, HashedCrossing and lookups, bit for bit: FarmHash and SipHash."""

from collections.abc import Iterable

_MASK = 0xFFFF_FFFF_FFFF_FFFF
_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F
_CAT = 0xC6A4A7935BD1E995
_CROSS_KEY = 0xDECAFCAFFE  # tf.sparse.cross_hashed's own


def fingerprint(data: bytes) -> int:
    """FarmHash Fingerprint64, what `tf.strings.to_hash_bucket_fast` takes the remainder of."""
    if len(data) > 64:
        return _fingerprint_long(data)
    if len(data) > 32:
        return _fingerprint_33_to_64(data)
    if len(data) > 16:
        return _fingerprint_17_to_32(data)
    return _fingerprint_0_to_16(data)


def siphash(data: bytes, key: tuple[int, int]) -> int:
    """SipHash-2-4, what `tf.strings.to_hash_bucket_strong` takes the remainder of; `key` is Keras's salt."""
    k0, k1 = (part & _MASK for part in key)
    state = (k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573)
    whole = len(data) & ~7
    last = int.from_bytes(data[whole:], "little") | (len(data) & 0xFF) << 56
    for word in (*(_word(data, start) for start in range(0, whole, 8)), last):
        v0, v1, v2, v3 = state
        v0, v1, v2, v3 = _sip_round(*_sip_round(v0, v1, v2, v3 ^ word))
        state = (v0 ^ word, v1, v2, v3)
    v0, v1, v2, v3 = state
    v2 ^= 0xFF
    for _ in range(4):
        v0, v1, v2, v3 = _sip_round(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


def cross(values: Iterable[int | bytes]) -> int:
    """What `tf.sparse.cross_hashed` takes the remainder of: an integer counts as itself, bytes by their fingerprint."""
    result = _CROSS_KEY
    for value in values:
        part = fingerprint(value) if isinstance(value, bytes) else value & _MASK
        result = (result ^ _CAT) ^ (_shift_mix(part * _CAT & _MASK) * _CAT & _MASK)
        result = _shift_mix(result * _CAT & _MASK) * _CAT & _MASK
        result = _shift_mix(result)
    return result


def _word(data: bytes, start: int) -> int:
    return int.from_bytes(data[start : start + 8], "little")


def _half(data: bytes, start: int) -> int:
    return int.from_bytes(data[start : start + 4], "little")


def _rotate(value: int, shift: int) -> int:
    """Rotate 64 bits to the right."""
    return (value >> shift | value << (64 - shift)) & _MASK


def _shift_mix(value: int) -> int:
    return value ^ value >> 47


def _mix(u: int, v: int, mul: int) -> int:
    """Two words as one (farmhashna::HashLen16)."""
    a = _shift_mix((u ^ v) * mul & _MASK)
    return _shift_mix((v ^ a) * mul & _MASK) * mul & _MASK


def _fingerprint_0_to_16(data: bytes) -> int:
    size = len(data)
    if size >= 8:
        mul = _K2 + size * 2 & _MASK
        a, b = _word(data, 0) + _K2 & _MASK, _word(data, size - 8)
        return _mix(_rotate(b, 37) * mul + a & _MASK, (_rotate(a, 25) + b) * mul & _MASK, mul)
    if size >= 4:
        return _mix(size + (_half(data, 0) << 3), _half(data, size - 4), _K2 + size * 2 & _MASK)
    if size:
        y, z = data[0] + (data[size >> 1] << 8), size + (data[size - 1] << 2)
        return _shift_mix(y * _K2 & _MASK ^ z * _K0 & _MASK) * _K2 & _MASK
    return _K2


def _fingerprint_17_to_32(data: bytes) -> int:
    size = len(data)
    mul = _K2 + size * 2 & _MASK
    a, b = _word(data, 0) * _K1 & _MASK, _word(data, 8)
    c, d = _word(data, size - 8) * mul & _MASK, _word(data, size - 16) * _K2 & _MASK
    return _mix(
        _rotate(a + b & _MASK, 43) + _rotate(c, 30) + d & _MASK, a + _rotate(b + _K2 & _MASK, 18) + c & _MASK, mul
    )


def _fingerprint_33_to_64(data: bytes) -> int:
    size = len(data)
    mul = _K2 + size * 2 & _MASK
    a, b = _word(data, 0) * _K2 & _MASK, _word(data, 8)
    c, d = _word(data, size - 8) * mul & _MASK, _word(data, size - 16) * _K2 & _MASK
    y = _rotate(a + b & _MASK, 43) + _rotate(c, 30) + d & _MASK
    z = _mix(y, a + _rotate(b + _K2 & _MASK, 18) + c & _MASK, mul)
    e, f = _word(data, 16) * mul & _MASK, _word(data, 24)
    g, h = (y + _word(data, size - 32)) * mul & _MASK, (z + _word(data, size - 24)) * mul & _MASK
    return _mix(
        _rotate(e + f & _MASK, 43) + _rotate(g, 30) + h & _MASK, e + _rotate(f + a & _MASK, 18) + g & _MASK, mul
    )


_Pair = tuple[int, int]
_State = tuple[int, int, int, _Pair, _Pair]


def _fingerprint_long(data: bytes) -> int:
    """More than 64 bytes: 56 bytes of state over pieces of 64, the last of which may overlap the one before."""
    seed = 81
    y = seed * _K1 + 113 & _MASK
    state: _State = (
        seed * _K2 + _word(data, 0) & _MASK, y, _shift_mix(y * _K2 + 113 & _MASK) * _K2 & _MASK, (0, 0), (0, 0)
    )  # fmt: skip
    for start in range(0, (len(data) - 1) // 64 * 64, 64):
        state = _take_piece(data, start, state, _K1, 1)
    x, y, z, (v0, v1), (w0, w1) = state
    mul = _K1 + ((z & 0xFF) << 1) & _MASK
    w0 = w0 + (len(data) - 1 & 63) & _MASK
    v0 = v0 + w0 & _MASK
    w0 = w0 + v0 & _MASK
    x, y, z, (v0, v1), (w0, w1) = _take_piece(data, len(data) - 64, (x, y, z, (v0, v1), (w0, w1)), mul, 9)
    first = _mix(v0, w0, mul) + _shift_mix(y) * _K0 + z & _MASK
    return _mix(first, _mix(v1, w1, mul) + x & _MASK, mul)


def _take_piece(data: bytes, start: int, state: _State, mul: int, factor: int) -> _State:
    """Take 64 bytes in; the last piece has a multiplier and a factor of its own."""
    x, y, z, v, w = state
    x = _rotate(x + y + v[0] + _word(data, start + 8) & _MASK, 37) * mul & _MASK
    y = _rotate(y + v[1] + _word(data, start + 48) & _MASK, 42) * mul & _MASK
    x ^= w[1] * factor & _MASK
    y = y + v[0] * factor + _word(data, start + 40) & _MASK
    z = _rotate(z + w[0] & _MASK, 33) * mul & _MASK
    v = _weak(data, start, v[1] * mul & _MASK, x + w[0] & _MASK)
    w = _weak(data, start + 32, z + w[1] & _MASK, y + _word(data, start + 16) & _MASK)
    return z, y, x, v, w


def _weak(data: bytes, start: int, a: int, b: int) -> _Pair:
    """Two words of state over 32 bytes."""
    w, x, y, z = (_word(data, start + offset) for offset in (0, 8, 16, 24))
    a = a + w & _MASK
    b = _rotate(b + a + z & _MASK, 21)
    c = a
    a = a + x + y & _MASK
    return a + z & _MASK, b + _rotate(a, 44) + c & _MASK


def _sip_round(v0: int, v1: int, v2: int, v3: int) -> tuple[int, int, int, int]:
    v0, v2 = v0 + v1 & _MASK, v2 + v3 & _MASK
    v1, v3 = _rotate(v1, 51) ^ v0, _rotate(v3, 48) ^ v2
    v0, v2 = _rotate(v0, 32) + v3 & _MASK, v2 + v1 & _MASK
    v3, v1 = _rotate(v3, 43) ^ v0, _rotate(v1, 47) ^ v2
    return v0, v1, _rotate(v2, 32), v3
