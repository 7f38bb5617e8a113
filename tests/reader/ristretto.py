"""ristretto255 (RFC 9496): as much as CPace needs. Nothing here is constant in time."""

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def is_negative(number):
    return number % P % 2 == 1


def absolute(number):
    return -number % P if is_negative(number) else number % P


def sqrt_ratio(u, v):
    """Whether u/v is a square, and the root of it, or of SQRT_M1 * u/v."""
    root = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    check = v * root * root % P
    is_right, is_turned = check == u % P, check == -u % P
    is_twisted = check == -u * SQRT_M1 % P
    if is_turned or is_twisted:
        root = root * SQRT_M1 % P
    return is_right or is_turned, absolute(root)


SQRT_AD_MINUS_ONE = P - sqrt_ratio(-D - 1, 1)[1]
INVSQRT_A_MINUS_D = sqrt_ratio(1, -1 - D)[1]
IDENTITY = (0, 1, 1, 0)


def add(one, other):
    """Sum of two points of the Edwards curve, in extended coordinates."""
    (x1, y1, z1, t1), (x2, y2, z2, t2) = one, other
    a, b = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * D * t1 * t2 % P, 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar, point):
    result = IDENTITY
    for bit in bin(scalar)[2:]:
        result = add(result, result)
        if bit == "1":
            result = add(result, point)
    return result


def scalar(uniform):
    """The scalar of 64 random bytes."""
    return int.from_bytes(uniform, "little") % ORDER


def decode(encoded):
    """The point of 32 bytes (4.3.1); ValueError where they are none."""
    s = int.from_bytes(encoded, "little")
    if len(encoded) != 32 or s >= P or is_negative(s):
        raise ValueError("not an element")
    u1, u2 = 1 - s * s, 1 + s * s
    v = -D * u1 * u1 - u2 * u2
    is_square, root = sqrt_ratio(1, v * u2 * u2 % P)
    den_x, den_y = root * u2, root * root * u2 * v
    x, y = absolute(2 * s * den_x), u1 * den_y % P
    t = x * y % P
    if not is_square or is_negative(t) or y == 0:
        raise ValueError("not an element")
    return x, y, 1, t


def encode(point):
    """32 bytes (4.3.2)."""
    x, y, z, t = point
    u1, u2 = (z + y) * (z - y) % P, x * y % P
    _, root = sqrt_ratio(1, u1 * u2 * u2 % P)
    den1, den2 = root * u1 % P, root * u2 % P
    inverse = den1 * den2 * t % P
    if is_negative(t * inverse):
        x, y = y * SQRT_M1 % P, x * SQRT_M1 % P
        den = den1 * INVSQRT_A_MINUS_D % P
    else:
        den = den2
    if is_negative(x * inverse):
        y = -y
    return absolute(den * (z - y)).to_bytes(32, "little")


def map_to_point(number):
    """4.3.4, MAP."""
    r = SQRT_M1 * number * number % P
    u = (r + 1) * (1 - D * D) % P
    v = (-1 - r * D) * (r + D) % P
    is_square, s = sqrt_ratio(u, v)
    c = -1
    if not is_square:
        s, c = -absolute(s * number), r
    n = (c * (r - 1) * (D - 1) ** 2 - v) % P
    w0, w1 = 2 * s * v, n * SQRT_AD_MINUS_ONE
    w2, w3 = 1 - s * s, 1 + s * s
    return w0 * w3 % P, w2 * w1 % P, w1 * w3 % P, w0 * w2 % P


def from_uniform(uniform):
    """The point of 64 bytes (4.3.4)."""
    halves = [int.from_bytes(half, "little") & (2**255 - 1) for half in (uniform[:32], uniform[32:])]
    return add(*(map_to_point(half % P) for half in halves))
