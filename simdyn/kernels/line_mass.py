"""The Gaussian mass of failure along one line, exactly."""

import math

from simdyn.kernels.compiled import borrowing, inlined

_ROOT_HALF = math.sqrt(0.5)


@borrowing
def interval_mass(low, high):
    """Φ(high) − Φ(low) for low ≤ high, from the side of the smaller tail."""
    if low >= 0.0:
        return 0.5 * (math.erfc(low * _ROOT_HALF) - math.erfc(high * _ROOT_HALF))
    if high <= 0.0:
        return 0.5 * (math.erfc(-high * _ROOT_HALF) - math.erfc(-low * _ROOT_HALF))
    return 1.0 - 0.5 * (math.erfc(high * _ROOT_HALF) + math.erfc(-low * _ROOT_HALF))


@inlined
def sort_kinks(slopes, base, direction, start, kinks, order):
    """Kinks t_f beyond `start`, in order, and φ − offset just after `start`.

    Returns the number of kinks, and of the active filters the number and the sums of
    slopes·base and slopes·direction.
    """
    count, active, level, rise = 0, 0, 0.0, 0.0
    for f in range(slopes.size):
        if direction[f] == 0.0:
            if base[f] > 0.0:
                active += 1
                level += slopes[f] * base[f]
            continue
        kink = -base[f] / direction[f]
        rising = direction[f] > 0.0
        if kink > start:
            place = count
            while place > 0 and kinks[place - 1] > kink:
                kinks[place], order[place] = kinks[place - 1], order[place - 1]
                place -= 1
            kinks[place], order[place] = kink, f
            count += 1
        if rising == (kink <= start):  # active just after `start`
            active += 1
            level += slopes[f] * base[f]
            rise += slopes[f] * direction[f]
    return count, active, level, rise


@borrowing
def failing_mass(offset, slopes, base, direction, start, kinks, order):
    """Gaussian mass of {t ≥ start : φ(t) < 0}, plus half that of {φ = 0}.

    φ(t) = offset + Σ_f slopes_f σ(base_f + t direction_f) is piecewise linear with a kink at
    t_f = −base_f/direction_f. `kinks` and `order` are scratch of the filters' number.
    """
    count, active, level, rise = sort_kinks(slopes, base, direction, start, kinks, order)
    total, low, open_at, failing = 0.0, start, start, False
    for index in range(count + 1):
        high = kinks[index] if index < count else math.inf
        if active == 0:
            level, rise = 0.0, 0.0
        value = offset + level
        # The part of [low, high) with φ < 0: a left part, a right part, everything or nothing.
        if rise == 0.0:
            if value == 0.0 and high > low:
                total += 0.5 * interval_mass(low, high)
            fails_left, root = value < 0.0, high
        else:
            root = min(max(-value / rise, low), high)
            fails_left = rise > 0.0
        if fails_left:
            if root > low:
                if not failing:
                    open_at, failing = low, True
                if root < high:
                    total += interval_mass(open_at, root)
                    failing = False
            elif failing:
                total += interval_mass(open_at, low)
                failing = False
        else:
            if root > low and failing:
                total += interval_mass(open_at, low)
                failing = False
            if rise != 0.0 and root < high and not failing:
                open_at, failing = root, True
        if index < count:
            f = order[index]
            if direction[f] > 0.0:  # a sign as a factor would round differently
                active += 1
                level += slopes[f] * base[f]
                rise += slopes[f] * direction[f]
            else:
                active -= 1
                level -= slopes[f] * base[f]
                rise -= slopes[f] * direction[f]
        low = high
    if failing:
        total += interval_mass(open_at, math.inf)
    return total
